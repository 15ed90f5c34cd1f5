"""Rate limiter: exact across replicas through Redis, with a local fallback while Redis is unavailable.

``async with open_limiter(redis, service="auth", registry=…) as limiter:`` then
``decision = await limiter.check([Limit("login", "ada", count=10, period=900, burst=5)])``.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from parley.ids import new_id
from parley.process.batcher import Batcher
from parley.process.tasks import background
from parley.process.timeouts import at_most, lag_tolerant_timeout
from parley.ratelimit.local_fallback import LocalFallback
from parley.ratelimit.model import Decision, Limit, LimitState, TokenSession
from parley.ratelimit.script import LimitCheck, LimitScript, parse_reply
from parley.storage.redis import REDIS_UNAVAILABLE, RedisClient
from parley.storage.redis_internals import RawConnection

__all__ = ["Decision", "Limit", "LimitState", "Limiter", "TokenSession", "open_limiter"]

log = structlog.get_logger()

REDIS_TIMEOUT = 0.05
"""Seconds that one Redis call may take."""
FIRST_HEARTBEAT_INTERVAL = 0.25
"""Seconds between the first two heartbeats; doubled after each one, so that a new replica soon knows the others."""
HEARTBEAT_INTERVAL = 2.0
RECOVERY_INTERVAL = 1.0
"""Seconds between two attempts to reach Redis during an outage."""
FIRST_ATTEMPTS = 3
"""Attempts to reach Redis at the start before it counts as an outage: the first is late while the process is busy."""
FIRST_ATTEMPT_INTERVAL = 0.1
REPLICA_TTL = 10
"""Seconds after its last heartbeat at which a replica is no longer counted."""


class Limiter:
    """Decides whether limits allow an action now; created by ``open_limiter``."""

    def __init__(
        self,
        redis: RedisClient,
        *,
        service: str,
        registry: CollectorRegistry,
        timeout: float = REDIS_TIMEOUT,
        replicas: int = 1,
    ) -> None:
        """Use ``service`` as the metric prefix and as the name of the replica group."""
        self._redis, self._timeout = redis, timeout
        self._script = LimitScript(RawConnection(redis, timeout=timeout))
        self._batcher = Batcher(self._send)
        self._group, self._replica = f"parley:replicas:{service}", str(new_id())
        self._outage = asyncio.Event()
        self._min_replicas = replicas
        self.fallback = LocalFallback()
        self.fallback.replicas = replicas
        self._decisions = Counter(
            f"{service}_ratelimit_decisions_total",
            "Rate limit decisions. Those ending in _local were made without Redis, from the share of this replica.",
            ["policy", "decision"],
            registry=registry,
        )
        self._counters: dict[tuple[str, str], Counter] = {}
        self._local = Gauge(
            f"{service}_ratelimit_local", "1 while rate limits are decided without Redis.", registry=registry
        )

    @property
    def exact(self) -> bool:
        """Whether limits are decided by Redis."""
        return not self._outage.is_set()

    async def check(self, limits: Sequence[Limit], *, cost: int = 1, session: TokenSession | None = None) -> Decision:
        """Consume ``cost`` units of every limit, or of none when one refuses or the session is revoked.

        A cost above the burst of a limit is always refused. Without Redis, the local fallback decides.
        """
        return await self._decide(LimitCheck(limits, cost, session, forced=False))

    async def charge(self, limits: Sequence[Limit], cost: int) -> Decision:
        """Consume ``cost`` units unconditionally; a negative ``cost`` returns units."""
        return await self._decide(LimitCheck(limits, cost, None, forced=True))

    async def _decide(self, check: LimitCheck) -> Decision:
        if self._outage.is_set():
            return self._decide_locally(check)
        check.answer = asyncio.get_running_loop().create_future()
        if not self._batcher.add(check):
            return self._decide_locally(check)
        return await check.answer

    async def _send(self, batch: list[LimitCheck]) -> None:
        try:
            reply = await self._script.run(batch)
            decisions = list(parse_reply(batch, reply))
        except Exception as error:
            if not isinstance(error, REDIS_UNAVAILABLE):
                log.exception("rate_limit_check_failed")
            self._start_outage(type(error).__name__)
            batch = batch + self._batcher.take_waiting()
            for check in batch:
                check.resolve(self._decide_locally(check))
        else:
            for check, decision in decisions:
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

    def _start_outage(self, reason: str) -> None:
        if not self._outage.is_set():
            log.warning("rate_limits_local", reason=reason, replicas=self.fallback.replicas)
            self._local.set(1)
            self._outage.set()

    def _end_outage(self) -> None:
        if self._outage.is_set():
            log.info("rate_limits_exact", replicas=self.fallback.replicas)
            self._local.set(0)
            self._outage.clear()
            self.fallback.clear()

    async def watch(self) -> None:
        """Send heartbeats, count the replicas, and detect when Redis is available again; never ends."""
        interval, attempts = FIRST_HEARTBEAT_INTERVAL, FIRST_ATTEMPTS
        while True:
            if self._outage.is_set():
                await asyncio.sleep(RECOVERY_INTERVAL)
            try:
                async with lag_tolerant_timeout(self._timeout):
                    self.fallback.replicas = await self._heartbeat()
            except REDIS_UNAVAILABLE as error:
                attempts -= 1
                if attempts > 0:
                    await asyncio.sleep(FIRST_ATTEMPT_INTERVAL)
                else:
                    self._start_outage(type(error).__name__)
                continue
            attempts = 0
            self._end_outage()
            async with at_most(interval):
                await self._outage.wait()
            interval = min(interval * 2, HEARTBEAT_INTERVAL)

    async def _heartbeat(self) -> int:
        now = int(time.time())
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.zadd(self._group, {self._replica: now})
            pipeline.zremrangebyscore(self._group, 0, now - REPLICA_TTL)
            pipeline.zcard(self._group)
            pipeline.expire(self._group, REPLICA_TTL * 6)
            found = await pipeline.execute()
        return max(self._min_replicas, int(found[2]))

    async def leave(self) -> None:
        """Wait for open calls and leave the replica group."""
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
) -> AsyncIterator[Limiter]:
    """Open a limiter. After a Redis call of more than ``timeout`` seconds, limits are local until Redis responds again.

    ``replicas`` is the minimum number of replicas to assume.
    """
    limiter = Limiter(redis, service=service, registry=registry, timeout=timeout, replicas=replicas)
    async with background("rate_limits", limiter.watch, service=service):
        yield limiter
    await limiter.leave()
