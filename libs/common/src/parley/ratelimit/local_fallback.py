"""Limits without Redis: each replica admits its share of what all may admit together."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from parley.ratelimit.model import SECOND, Decision, Limit, LimitState

MAX_BUCKETS = 50_000


class LocalFallback:
    """The same arithmetic as ``limits.lua``, in this process, with every limit divided by the replicas last seen."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, size: int = MAX_BUCKETS) -> None:
        """Take the clock (seconds), and how many buckets are kept."""
        self.replicas = 1
        self._clock, self._size = clock, size
        self._buckets: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def check(self, limits: Sequence[Limit], cost: int, *, forced: bool = False) -> Decision:
        """Consume from every share, or from none when one refuses."""
        now = int(self._clock() * SECOND)
        rows = [row for limit in limits for row in self._rows(limit, now)]
        excesses = [0 if forced else self._excess(row, cost) for row in rows]
        wait, refused = max(
            ((e / r.rate, r.limit) for e, r in zip(excesses, rows, strict=True)), default=(0, None), key=_first
        )
        allowed = wait <= 0
        for row in rows:
            if allowed:
                row.debt = max(0, row.debt + cost * row.price)
                self._store(row, now)
        states = [_state(next(row for row in rows if row.limit is limit)) for limit in limits]
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

    def forget(self) -> None:
        """Empty all buckets: Redis counts again."""
        self._buckets.clear()

    def _rows(self, limit: Limit, now: int) -> "list[_Row]":
        burst = max(1, limit.burst // self.replicas)
        rows = [self._row(limit, limit.key, burst, now)]
        if limit.strict:
            rows.append(self._row(limit, f"{limit.key}:strict", 1, now))
        return rows

    def _row(self, limit: Limit, key: str, burst: int, now: int) -> "_Row":
        count, period, _ = limit.numbers
        debt, at = self._buckets.get(key, (0, now))
        return _Row(limit, key, count, period * self.replicas, burst, max(0, debt - (now - at) * count))

    @staticmethod
    def _excess(row: "_Row", cost: int) -> int:
        # A cost above the share's burst passes when the share is full: it would never be admitted otherwise.
        return row.debt + (min(cost, row.burst) - row.burst) * row.price

    def _store(self, row: "_Row", now: int) -> None:
        self._buckets[row.key] = (row.debt, now)
        self._buckets.move_to_end(row.key)
        if len(self._buckets) > self._size:
            self._buckets.popitem(last=False)


class _Row:
    """One bucket of this replica: a unit costs ``price``, a microsecond pays back ``rate``."""

    __slots__ = ("burst", "debt", "key", "limit", "price", "rate")

    def __init__(self, limit: Limit, key: str, rate: int, price: int, burst: int, debt: int) -> None:
        self.limit, self.key, self.rate, self.price, self.burst, self.debt = limit, key, rate, price, burst, debt


def _first(pair: tuple[float, Limit | None]) -> float:
    return pair[0]


def _state(row: _Row) -> LimitState:
    return LimitState(max(0, row.burst - math.ceil(row.debt / row.price)), row.debt / row.rate / SECOND)
