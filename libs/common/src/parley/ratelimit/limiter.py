"""Limits that are exact over all replicas: GCRA in Redis time, many checks in one round trip, shares without Redis.

``async with open_limiter(redis, service="auth", registry=…) as limiter:`` then
``decision = await limiter.check([Limit("login", "ada", count=10, period=900, burst=5)])``.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from parley.ids import new_id
from parley.process.tasks import background
from parley.process.timeouts import lag_tolerant_timeout
from parley.ratelimit.check_batcher import CheckBatcher
from parley.ratelimit.local_fallback import LocalFallback
from parley.ratelimit.model import Decision, Limit, LimitState, TokenSession
from parley.ratelimit.script import LimitCheck, LimitScript, parse_reply
from parley.storage.redis import REDIS_UNAVAILABLE, RedisClient

__all__ = ["Decision", "Limit", "LimitState", "Limiter", "TokenSession", "open_limiter"]

log = structlog.get_logger()

REDIS_TIMEOUT = 0.05
"""Seconds Redis may take for one call."""
FIRST_HEARTBEAT_DELAY, HEARTBEAT_INTERVAL, RECOVERY_INTERVAL = 0.25, 2.0, 1.0
"""Seconds between two signs of life (fewer at first, to find the others), and for which limits stay local."""
REPLICA_LIFETIME = 10


class Limiter:
    """Decides whether something may happen now; made by ``open_limiter``."""

    def __init__(
        self,
        redis: RedisClient,
        *,
        service: str,
        registry: CollectorRegistry,
        timeout: float = REDIS_TIMEOUT,
        replicas: int = 1,
    ) -> None:
        """Take a client; ``service`` names the metric and the group of replicas."""
        self._redis, self._timeout = redis, timeout
        self._script, self._batcher = LimitScript(redis), CheckBatcher(self._send)
        self._group, self._replica = f"parley:replicas:{service}", str(new_id())
        self._outage = asyncio.Event()
        self._least_replicas = replicas
        self.fallback = LocalFallback()
        self.fallback.replicas = replicas
        self._decisions = Counter(
            f"{service}_ratelimit_decisions_total",
            "Decisions on limits; local: made without Redis, from this replica's share.",
            ["policy", "decision"],
            registry=registry,
        )
        self._counters: dict[tuple[str, str], Any] = {}
        self._local = Gauge(
            f"{service}_ratelimit_local", "1 while limits are decided without Redis.", registry=registry
        )

    @property
    def exact(self) -> bool:
        """Whether Redis decides, not this replica alone."""
        return not self._outage.is_set()

    async def check(self, limits: Sequence[Limit], *, cost: int = 1, session: TokenSession | None = None) -> Decision:
        """Consume ``cost`` units of every limit, or of none when one refuses or the session was revoked.

        A cost above a limit's burst is never admitted. Never raises for Redis: without it this replica's share decides.
        """
        return await self._ask(LimitCheck(limits, cost, session, forced=False))

    async def charge(self, limits: Sequence[Limit], cost: int) -> Decision:
        """Consume ``cost`` units whatever is left, or give back a negative ``cost``: for what is known afterwards."""
        return await self._ask(LimitCheck(limits, cost, None, forced=True))

    async def _ask(self, check: LimitCheck) -> Decision:
        if self._outage.is_set():
            return self._decide_locally(check)
        check.answer = asyncio.get_running_loop().create_future()
        if not self._batcher.add(check):
            return self._decide_locally(check)
        return await check.answer

    async def _send(self, batch: list[LimitCheck]) -> None:
        try:
            async with lag_tolerant_timeout(self._timeout):
                reply = await self._script.run(batch)
        except REDIS_UNAVAILABLE as error:
            self._lose_redis(type(error).__name__)
            batch = batch + self._batcher.take_waiting()
            for check in batch:
                check.resolve(self._decide_locally(check))
        else:
            for check, decision in parse_reply(batch, reply):
                self._count(decision, "admitted", "refused")
                check.resolve(decision)
        finally:
            for check in batch:
                check.answer.cancel()

    def _decide_locally(self, check: LimitCheck) -> Decision:
        decision = self.fallback.check(check.limits, check.cost, forced=check.forced)
        self._count(decision, "admitted_local", "refused_local")
        return decision

    def _count(self, decision: Decision, admitted: str, refused: str) -> None:
        if decision.revoked:
            return
        for limit in decision.limits if decision.allowed else (decision.refused,):
            assert limit is not None
            key = (limit.policy, admitted if decision.allowed else refused)
            counter = self._counters.get(key)
            if counter is None:
                counter = self._counters[key] = self._decisions.labels(*key)
            counter.inc()

    def _lose_redis(self, reason: str) -> None:
        if not self._outage.is_set():
            log.warning("limits are local", reason=reason, replicas=self.fallback.replicas)
            self._local.set(1)
            self._outage.set()

    def _regain_redis(self) -> None:
        if self._outage.is_set():
            log.info("limits are exact again", replicas=self.fallback.replicas)
            self._local.set(0)
            self._outage.clear()
            self.fallback.forget()

    async def watch(self) -> None:
        """Say each two seconds that this replica lives, count the others, and notice when Redis is back."""
        pause = FIRST_HEARTBEAT_DELAY
        while True:
            if self._outage.is_set():
                await asyncio.sleep(RECOVERY_INTERVAL)
            try:
                async with lag_tolerant_timeout(self._timeout):
                    self.fallback.replicas = await self._heartbeat()
            except REDIS_UNAVAILABLE as error:
                self._lose_redis(type(error).__name__)
                continue
            self._regain_redis()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._outage.wait()
            pause = min(pause * 2, HEARTBEAT_INTERVAL)

    async def _heartbeat(self) -> int:
        now = int(time.time())
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.zadd(self._group, {self._replica: now})
            pipeline.zremrangebyscore(self._group, 0, now - REPLICA_LIFETIME)
            pipeline.zcard(self._group)
            pipeline.expire(self._group, REPLICA_LIFETIME * 6)
            found = await pipeline.execute()
        return max(self._least_replicas, int(found[2]))

    async def leave(self) -> None:
        """Finish what is open, and stop counting as a replica."""
        await self._batcher.wait_sent(self._timeout * 2)
        with contextlib.suppress(*REDIS_UNAVAILABLE):
            async with asyncio.timeout(self._timeout):
                await self._redis.zrem(self._group, self._replica)


@contextlib.asynccontextmanager
async def open_limiter(
    redis: RedisClient,
    *,
    service: str,
    registry: CollectorRegistry,
    timeout: float = REDIS_TIMEOUT,
    replicas: int = 1,
    kind: type[Limiter] = Limiter,
) -> AsyncIterator[Limiter]:
    """Open a limiter; ``timeout`` in seconds is what Redis may take before this replica decides alone for a while.

    ``replicas`` is how many there are at least, whoever has been seen; ``kind`` may be one that tells what it decides.
    """
    limiter = kind(redis, service=service, registry=registry, timeout=timeout, replicas=replicas)
    async with background("limits", limiter.watch, service=service):
        yield limiter
    await limiter.leave()
