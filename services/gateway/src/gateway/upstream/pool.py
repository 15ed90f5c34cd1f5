"""Connection pool of one service: endpoint choice, concurrency limits, and ejection."""

import asyncio
import random
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import structlog

from gateway.errors import UpstreamUnavailable
from gateway.upstream.connection import READ_SIZE, UpstreamConnection
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.failures import ConnectFailed, ConnectionBroken, ResponseTimeout, UpstreamFailure
from gateway.upstream.retry_budget import RetryBudget
from gateway.upstream.slot_queue import SlotQueue
from parley.process.timeouts import lag_tolerant_timeout

log = structlog.get_logger()

DEADLINE_CHECK_INTERVAL = 0.1
"""Seconds between two checks of the deadlines."""
MAX_IDLE = 30.0
"""Seconds before an idle connection is closed. Services keep theirs longer, so they never close first."""
NO_ENDPOINT = "unavailable"
"""The reason in ``gateway_upstream_failures_total`` of requests that no endpoint may get."""
CONNECT_ATTEMPTS = 2
"""The time to find a reachable endpoint, in multiples of ``connect_timeout``."""


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """Requests awaiting a response per endpoint, requests queued for the pool, and the connect timeout in seconds."""

    connections: int = 512
    queue: int = 512
    connect_timeout: float = 1.0


class Pool:
    """The connections of one service. It belongs to one event loop and is not thread-safe."""

    def __init__(self, name: str, endpoints: Sequence[Endpoint], limits: PoolLimits) -> None:
        self.name, self.endpoints, self._limits = name, list(endpoints), limits
        self._retired: list[Endpoint] = []
        self._read_buffer = bytearray(READ_SIZE)
        self._queue = SlotQueue(limits.queue)
        self.retries = RetryBudget()
        self.on_failure: Callable[[str], None] = lambda _reason: None
        self.on_ejection: Callable[[], None] = lambda: None

    async def acquire(self, *, stream: bool, avoid: Collection[bytes] = ()) -> tuple[Endpoint, UpstreamConnection]:
        """Return a connection to the less loaded of two endpoints. ``avoid`` holds endpoints of last resort.

        An unreachable endpoint was sent nothing, so trying the next one is not a retry and costs no retry budget.
        Raise UpstreamUnavailable when all are ejected, Overloaded when the queue is full, ConnectFailed.
        """
        tried: set[bytes] = set()
        give_up_at = time.monotonic() + CONNECT_ATTEMPTS * self._limits.connect_timeout
        while True:
            endpoint = self.choose(avoid, tried)
            if not stream and endpoint.slots >= self._limits.connections:
                await self._queue.wait()
                endpoint = self.choose(avoid, tried)
            try:
                return endpoint, await self._connection_to(endpoint, slot=not stream)
            except ConnectFailed:
                tried.add(endpoint.authority)
                if not self._candidates(avoid, tried) or time.monotonic() > give_up_at:
                    raise

    async def _connection_to(self, endpoint: Endpoint, *, slot: bool) -> UpstreamConnection:
        endpoint.active += 1
        endpoint.slots += slot
        while endpoint.idle:
            connection = endpoint.idle.pop()
            if connection.is_open():
                connection.has_slot = slot
                return connection
            connection.abort()
        try:
            connection = await self._connect(endpoint)
        except BaseException as error:
            if isinstance(error, ConnectFailed):
                self.record_failure(endpoint, error)
            self._free(endpoint, slot=slot)
            self.finish_request(endpoint)
            raise
        connection.has_slot = slot
        return connection

    def release(self, endpoint: Endpoint, connection: UpstreamConnection) -> None:
        """End a request: keep the connection when it is reusable, else close it."""
        now = time.monotonic()
        if connection.reusable and endpoint in self.endpoints and not endpoint.is_draining(now):
            connection.mark_idle(now)
            endpoint.idle.append(connection)
        else:
            connection.abort()
        self.release_slot(endpoint, connection)
        self.finish_request(endpoint)

    def release_slot(self, endpoint: Endpoint, connection: UpstreamConnection) -> None:
        """Admit the next queued request. From here on, the duration depends on the client, not on the upstream."""
        self._free(endpoint, slot=connection.has_slot)
        connection.has_slot = False

    def finish_request(self, endpoint: Endpoint) -> None:
        """Count a request as done."""
        endpoint.active -= 1
        # The client may have abandoned the probe of an ejected endpoint: the next request becomes the probe.
        endpoint.probing = False

    def record_failure(self, endpoint: Endpoint, failure: UpstreamFailure) -> None:
        """Count a failure of an endpoint, and eject it after too many."""
        self.on_failure(failure.reason)
        if endpoint.record_failure(time.monotonic(), failure):
            log.warning("upstream_ejected", upstream=self.name, address=endpoint.authority.decode())
            self.on_ejection()

    def record_response(self, endpoint: Endpoint, connection: UpstreamConnection) -> None:
        """Record the head of a response. A response that closes its connection announces a shutdown."""
        endpoint.record_success()
        if connection.closes_connection:
            self.record_draining(endpoint)

    def record_draining(self, endpoint: Endpoint) -> None:
        """Send new requests to other endpoints, because this one is shutting down."""
        endpoint.close_idle()
        if endpoint.record_draining(time.monotonic()):
            log.info("upstream_draining", upstream=self.name, address=endpoint.authority.decode())
            self.on_ejection()

    def enforce_deadlines(self) -> None:
        """Fail requests that are late or whose host has vanished, and close connections that were idle for too long."""
        now = time.monotonic()
        self._retired = [endpoint for endpoint in self._retired if endpoint.connections]
        for endpoint in self.all_endpoints:
            for connection in list(endpoint.connections):
                if connection.busy and now > connection.deadline:
                    connection.fail(ResponseTimeout())
                elif connection.has_lost_peer(now):
                    connection.fail(ConnectionBroken())
                elif not connection.busy and now - connection.idle_since > MAX_IDLE and connection in endpoint.idle:
                    endpoint.idle.remove(connection)
                    connection.abort()

    def close(self) -> None:
        """Close every connection."""
        for endpoint in self.all_endpoints:
            endpoint.close()

    @property
    def all_endpoints(self) -> tuple[Endpoint, ...]:
        """The endpoints in use, and removed ones whose requests are still open."""
        return (*self.endpoints, *self._retired)

    def replace_endpoints(self, found: Sequence[Endpoint]) -> None:
        """Use new endpoints. Known ones keep their connections; removed ones finish their open requests."""
        wanted = {endpoint.authority: endpoint for endpoint in found}
        kept = [endpoint for endpoint in self.endpoints if endpoint.authority in wanted]
        for endpoint in self.endpoints:
            if endpoint.authority not in wanted:
                self._retired.append(endpoint)
                endpoint.close_idle()
        known = {endpoint.authority for endpoint in kept}
        self.endpoints = [*kept, *(e for authority, e in wanted.items() if authority not in known)]

    def choose(self, avoid: Collection[bytes] = (), tried: Collection[bytes] = ()) -> Endpoint:
        """Return the less loaded of two endpoints. Raise UpstreamUnavailable when all are ejected."""
        if len(self.endpoints) == 1 and not tried and not self.endpoints[0].ejected_until:
            return self.endpoints[0]
        candidates = self._candidates(avoid, tried)
        if not candidates:
            self.on_failure(NO_ENDPOINT)
            raise UpstreamUnavailable
        if len(candidates) > 2:  # noqa: PLR2004 - the better of two random choices is nearly the best
            candidates = random.sample(candidates, 2)  # nosec B311
        chosen = min(candidates, key=_load)
        chosen.probing = chosen.ejected_until > 0 and chosen.ejections > 0
        return chosen

    def has_other(self, than: Collection[bytes]) -> bool:
        """Return whether an endpoint other than these may be tried."""
        return bool(self._candidates((), than))

    def _candidates(self, avoid: Collection[bytes], tried: Collection[bytes]) -> list[Endpoint]:
        now = time.monotonic()
        left = [e for e in self.endpoints if e.authority not in tried] if tried else self.endpoints
        # A probe can take as long as a slow response. Without an alternative, requests do not wait for its result.
        ready = [e for e in left if e.is_available(now)] or [e for e in left if now >= e.ejected_until]
        if ready and not avoid:
            return ready
        # An offline endpoint may be back, and another refusal costs nothing.
        offline = [e for e in left if e.is_offline]
        others = ([e for e in found if e.authority not in avoid] for found in (ready, offline))
        return next((found for found in (*others, ready, offline) if found), [])

    async def _connect(self, endpoint: Endpoint) -> UpstreamConnection:
        connection = UpstreamConnection(lambda lost: self._forget(endpoint, lost), self._read_buffer)
        loop = asyncio.get_running_loop()
        try:
            async with lag_tolerant_timeout(self._limits.connect_timeout):
                await loop.create_connection(lambda: connection, endpoint.host, endpoint.port)
        except (OSError, TimeoutError) as error:
            raise ConnectFailed(refused=isinstance(error, ConnectionRefusedError)) from error
        endpoint.connections.add(connection)
        endpoint.record_connect()
        return connection

    @staticmethod
    def _forget(endpoint: Endpoint, connection: UpstreamConnection) -> None:
        endpoint.connections.discard(connection)
        if not connection.busy and connection in endpoint.idle:
            endpoint.idle.remove(connection)

    def _free(self, endpoint: Endpoint, *, slot: bool) -> None:
        endpoint.slots -= slot
        if slot:
            self._queue.admit_next()


def _load(endpoint: Endpoint) -> float:
    return endpoint.active + random.random()  # noqa: S311 - breaks ties
