"""Limits that are exact over all replicas: GCRA in Redis time, many checks in one round trip, shares without Redis.

``async with open_limiter(redis, service="auth", registry=…) as limiter:`` then
``decision = await limiter.check([Limit("login", "ada", count=10, period=900, burst=5)])``.
"""

import asyncio
import contextlib
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import hiredis
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from parley.deadlines import patient_timeout
from parley.ids import new_id
from parley.limit_shares import LocalShares
from parley.limit_types import Decision, Limit, Session, State
from parley.redis import UNAVAILABLE, Client, NoScriptError
from parley.tasks import background

__all__ = ["Decision", "Limit", "Limiter", "Session", "State", "open_limiter"]

log = structlog.get_logger()

MARKER = "parley:revocations"
TIMEOUT = 0.05
"""Seconds Redis may take for one call."""
BATCH = 128
"""Most checks in one call: bounds how long one call keeps Redis busy."""
IN_FLIGHT = 1
"""Calls open at once; what arrives meanwhile is collected for the next: one trip for many."""
MAX_WAITING = 10_000
FIRST_BEAT, BEAT, PROBE = 0.25, 2.0, 1.0
"""Seconds between two signs of life (fewer at first, to find the others), and for which limits stay local."""
REPLICA_LIFETIME = 10
SECOND = 1_000_000
_COUNT, _HEAD = struct.Struct("<d"), struct.Struct("<dddd")


@dataclass(slots=True)
class _Check:
    limits: Sequence[Limit]
    cost: int
    session: Session | None
    forced: bool
    answer: "asyncio.Future[Decision]" = field(init=False)


class Limiter:
    """Decides whether something may happen now; made by ``open_limiter``."""

    def __init__(
        self, redis: Client, *, service: str, registry: CollectorRegistry, timeout: float = TIMEOUT, replicas: int = 1
    ) -> None:
        """Take a client; ``service`` names the metric and the group of replicas."""
        self._redis, self._timeout = redis, timeout
        self._source = resources.files("parley").joinpath("limits.lua").read_text()
        self._digest = ""
        self._group, self._replica = f"parley:replicas:{service}", str(new_id())
        self._waiting: list[_Check] = []
        self._flights: set[asyncio.Task[None]] = set()
        self._scheduled = False
        self._outage = asyncio.Event()
        self._least_replicas = replicas
        self.shares = LocalShares()
        self.shares.replicas = replicas
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

    async def check(self, limits: Sequence[Limit], *, cost: int = 1, session: Session | None = None) -> Decision:
        """Consume ``cost`` units of every limit, or of none when one refuses or the session was revoked.

        A cost above a limit's burst is never admitted. Never raises for Redis: without it this replica's share decides.
        """
        return await self._ask(_Check(limits, cost, session, forced=False))

    async def charge(self, limits: Sequence[Limit], cost: int) -> Decision:
        """Consume ``cost`` units whatever is left, or give back a negative ``cost``: for what is known afterwards."""
        return await self._ask(_Check(limits, cost, None, forced=True))

    async def _ask(self, check: _Check) -> Decision:
        if self._outage.is_set() or len(self._waiting) >= MAX_WAITING:
            return self._decide_locally(check)
        check.answer = asyncio.get_running_loop().create_future()
        self._waiting.append(check)
        self._schedule()
        return await check.answer

    def _schedule(self) -> None:
        if not self._scheduled and len(self._flights) < IN_FLIGHT:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._take_off)

    def _take_off(self) -> None:
        self._scheduled = False
        batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
        if not batch:
            return
        flight = asyncio.get_running_loop().create_task(self._fly(batch))
        self._flights.add(flight)
        flight.add_done_callback(self._landed)
        if self._waiting:
            self._schedule()

    def _landed(self, flight: "asyncio.Task[None]") -> None:
        self._flights.discard(flight)
        if self._waiting:
            self._schedule()

    async def _fly(self, batch: list[_Check]) -> None:
        try:
            async with patient_timeout(self._timeout):
                reply = await self._call(*_request(batch))
        except UNAVAILABLE as error:
            self._lose_redis(type(error).__name__)
            batch, self._waiting = batch + self._waiting, []
            for check in batch:
                _resolve(check, self._decide_locally(check))
        else:
            self._deliver(batch, reply)
        finally:
            for check in batch:
                check.answer.cancel()

    async def _call(self, keys: list[str], numbers: bytes) -> list[int]:
        try:
            if self._digest:
                return await self._evaluate(keys, numbers)
        except NoScriptError:
            pass
        self._digest = await _awaited(self._redis.script_load(self._source))
        return await self._evaluate(keys, numbers)

    async def _evaluate(self, keys: list[str], numbers: bytes) -> list[int]:
        """Call the script; past the client's own layers, which cost more than all the rest of a check."""
        pool = self._redis.connection_pool
        connection = await _awaited(pool.get_connection())  # type: ignore[no-untyped-call]
        try:
            words: tuple[Any, ...] = ("EVALSHA", self._digest, len(keys), *keys, numbers)
            command = hiredis.pack_command(words)
            await connection.send_packed_command([command], check_health=False)
            reply: list[int] = await connection.read_response()
        except NoScriptError:
            raise
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        finally:
            await pool.release(connection)
        return reply

    def _deliver(self, batch: list[_Check], reply: list[int]) -> None:
        known, at, position = bool(reply[0]), reply[1], 2
        for check in batch:
            end = position + 2 + 2 * len(check.limits)
            decision = _decision(check, reply[position:end], known=known, at=at)
            self._count(decision, "admitted", "refused")
            _resolve(check, decision)
            position = end

    def _decide_locally(self, check: _Check) -> Decision:
        decision = self.shares.check(check.limits, check.cost, forced=check.forced)
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
            log.warning("limits are local", reason=reason, replicas=self.shares.replicas)
            self._local.set(1)
            self._outage.set()

    def _regain_redis(self) -> None:
        if self._outage.is_set():
            log.info("limits are exact again", replicas=self.shares.replicas)
            self._local.set(0)
            self._outage.clear()
            self.shares.forget()

    async def watch(self) -> None:
        """Say each two seconds that this replica lives, count the others, and notice when Redis is back."""
        pause = FIRST_BEAT
        while True:
            if self._outage.is_set():
                await asyncio.sleep(PROBE)
            try:
                async with patient_timeout(self._timeout):
                    self.shares.replicas = await self._beat()
            except UNAVAILABLE as error:
                self._lose_redis(type(error).__name__)
                continue
            self._regain_redis()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._outage.wait()
            pause = min(pause * 2, BEAT)

    async def _beat(self) -> int:
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
        if self._flights:
            await asyncio.wait(self._flights, timeout=self._timeout * 2)
        with contextlib.suppress(*UNAVAILABLE):
            async with asyncio.timeout(self._timeout):
                await self._redis.zrem(self._group, self._replica)


@contextlib.asynccontextmanager
async def open_limiter(
    redis: Client,
    *,
    service: str,
    registry: CollectorRegistry,
    timeout: float = TIMEOUT,
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


def _request(batch: list[_Check]) -> tuple[list[str], bytes]:
    keys, numbers = [MARKER], [_COUNT.pack(len(batch))]
    for check in batch:
        session = check.session
        numbers.append(_HEAD.pack(len(check.limits), check.cost, session.issued_at if session else -1, check.forced))
        if session:
            keys += session.keys
        for limit in check.limits:
            keys.append(limit.key)
            numbers.append(limit.packed)
    return keys, b"".join(numbers)


def _decision(check: _Check, row: list[int], *, known: bool, at: int) -> Decision:
    verdict = row[0]
    return Decision(
        allowed=verdict == 0,
        revoked=verdict < 0,
        refused=check.limits[verdict - 1] if verdict > 0 else None,
        retry_after=row[1] / SECOND,
        limits=check.limits,
        states=[State(row[i], row[i + 1] / SECOND) for i in range(2, len(row), 2)],
        revocations_known=known,
        at=at,
    )


def _resolve(check: _Check, decision: Decision) -> None:
    if not check.answer.done():
        check.answer.set_result(decision)


async def _awaited(call: Awaitable[Any] | Any) -> Any:
    return await call
