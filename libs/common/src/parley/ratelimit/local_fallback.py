"""Rate limits while Redis is unavailable: each replica allows its share of every limit."""

import math
import time
from collections.abc import Callable, Sequence

from cachetools import LRUCache

from parley.ratelimit.model import SECOND, Decision, Limit, LimitState

MAX_BUCKETS = 50_000
STRICT_DIVISOR = 10
"""A strict limit allows this part of its burst: few guesses, yet two logins when Redis is late once."""


class LocalFallback:
    """The algorithm of ``limits.lua`` in this process; limits are divided by the last known number of replicas."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, size: int = MAX_BUCKETS) -> None:
        """Keep at most ``size`` buckets; ``clock`` returns seconds."""
        self.replicas = 1
        self._clock = clock
        self._buckets: LRUCache[str, tuple[int, int]] = LRUCache(size)

    def check(self, limits: Sequence[Limit], cost: int, *, forced: bool = False) -> Decision:
        """Consume ``cost`` units of every limit, or of none when one refuses."""
        now = int(self._clock() * SECOND)
        buckets = [bucket for limit in limits for bucket in self._buckets_of(limit, now)]
        excesses = [0 if forced else self._excess(bucket, cost) for bucket in buckets]
        wait, refused = max(
            ((e / r.rate, r.limit) for e, r in zip(excesses, buckets, strict=True)), default=(0, None), key=_first
        )
        allowed = wait <= 0
        for bucket in buckets:
            if allowed:
                bucket.debt = max(0, bucket.debt + cost * bucket.price)
                self._store(bucket, now)
        states = [_state(next(bucket for bucket in buckets if bucket.limit is limit)) for limit in limits]
        return Decision(
            allowed=allowed,
            revoked=False,
            refused=None if allowed else refused,
            retry_after=0 if allowed else wait / SECOND,
            limits=limits,
            states=states,
            revocations_known=False,
            at=None,
        )

    def clear(self) -> None:
        """Discard all buckets."""
        self._buckets.clear()

    def _buckets_of(self, limit: Limit, now: int) -> "list[_Bucket]":
        burst = max(1, limit.burst // self.replicas)
        buckets = [self._bucket(limit, limit.key, burst, now)]
        if limit.strict:
            buckets.append(self._bucket(limit, f"{limit.key}:strict", max(1, burst // STRICT_DIVISOR), now))
        return buckets

    def _bucket(self, limit: Limit, key: str, burst: int, now: int) -> "_Bucket":
        count, period, _ = limit.numbers
        debt, at = self._buckets.get(key, (0, now))
        return _Bucket(limit, key, count, period * self.replicas, burst, max(0, debt - (now - at) * count))

    @staticmethod
    def _excess(bucket: "_Bucket", cost: int) -> int:
        # A cost above the share of the burst is allowed when the bucket is full; otherwise it would never be.
        return bucket.debt + (min(cost, bucket.burst) - bucket.burst) * bucket.price

    def _store(self, bucket: "_Bucket", now: int) -> None:
        self._buckets[bucket.key] = (bucket.debt, now)


class _Bucket:
    """One bucket of this replica: a unit costs ``price``, and each microsecond repays ``rate``."""

    __slots__ = ("burst", "debt", "key", "limit", "price", "rate")

    def __init__(self, limit: Limit, key: str, rate: int, price: int, burst: int, debt: int) -> None:
        self.limit, self.key, self.rate, self.price, self.burst, self.debt = limit, key, rate, price, burst, debt


def _first(pair: tuple[float, Limit | None]) -> float:
    return pair[0]


def _state(bucket: _Bucket) -> LimitState:
    return LimitState(max(0, bucket.burst - math.ceil(bucket.debt / bucket.price)), bucket.debt / bucket.rate / SECOND)
