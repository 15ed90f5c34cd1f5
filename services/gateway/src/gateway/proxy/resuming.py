"""Resumption of broken event streams: the rest of a turn's stream, requested from another replica."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import structlog
from prometheus_client import CollectorRegistry, Counter

from gateway.proxy.forwarding import ForwardedRequest, origin_lines
from gateway.proxy.sse import is_event_stream
from gateway.proxy.stream_position import StreamPosition
from gateway.request import Request
from gateway.upstream.failures import StreamMoved, UpstreamFailure
from parley.errors import ParleyError
from parley.process.sockets import PEER_TIMEOUT

log = structlog.get_logger()

RESUME_TIMEOUT = 30.0
"""Seconds without a new event after which a broken stream is given up."""
ATTEMPT_TIMEOUT = 6.0
"""Minimum seconds until the head of a response. A silent stream has it with its first ping: at least two may pass."""
MIN_PAUSE, MAX_PAUSE = 0.1, 1.0
"""Seconds between two attempts: doubled with each, and varied, because all streams of a replica break at once."""
REFUSALS = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND})
"""Statuses that another attempt would not change."""

SendPing = Callable[[], Awaitable[None]]


class StreamResumer:
    """Continues streams of turns on other replicas."""

    def __init__(self, registry: CollectorRegistry, *, timeout: float = RESUME_TIMEOUT) -> None:
        self._timeout = timeout
        self._resumed = Counter(
            "gateway_streams_resumed_total",
            "Broken event streams, by whether another replica continued them.",
            ["result"],
            registry=registry,
        )

    def begin(self, request: Request, forwarded: ForwardedRequest, position: StreamPosition) -> "Resumption":
        """Return the resumption of one stream."""
        return Resumption(request, forwarded, position, self._resumed, timeout=self._timeout)


class Resumption:
    """The attempts to continue one stream. They end when no replica continues it, or sends a new event, in time."""

    def __init__(
        self,
        request: Request,
        forwarded: ForwardedRequest,
        position: StreamPosition,
        resumed: Counter,
        *,
        timeout: float,
    ) -> None:
        self._request, self._forwarded, self._position = request, forwarded, position
        self._resumed, self._timeout = resumed, timeout
        self._cursor: bytes | None = None
        self._give_up_at = 0.0
        self._resumed_at = 0.0
        self._pause = MIN_PAUSE
        self._avoid: set[bytes] = set()

    async def resume(self, failure: UpstreamFailure, ping: SendPing) -> bool:
        """Replace the connection of the forwarded request by one that continues the stream.

        Return False if no replica does so in time. Raise what ended the stream meanwhile, such as a disconnect.
        """
        forwarded = self._forwarded
        if not isinstance(failure, StreamMoved):
            forwarded.pool.record_failure(forwarded.endpoint, failure)
        self._avoid.add(forwarded.endpoint.authority)
        was_served = time.monotonic() - self._resumed_at >= self._timeout
        if was_served or self._position.cursor != self._cursor:
            self._cursor, self._pause = self._position.cursor, MIN_PAUSE
            self._give_up_at = time.monotonic() + self._timeout
        else:
            await self._wait(ping)
        found = await self._resume(ping)
        self._resumed_at = time.monotonic()
        self._resumed.labels("resumed" if found else "lost").inc()
        fields = {"upstream": forwarded.pool.name, "address": forwarded.endpoint.authority.decode()}
        log.info("stream_resumed" if found else "stream_lost", request_id=self._request.request_id, **fields)
        return found

    async def _resume(self, ping: SendPing) -> bool:
        while time.monotonic() < self._give_up_at:
            try:
                status = await self._ask()
            except (UpstreamFailure, ParleyError):  # ParleyError: no endpoint is available
                status = 0
            self._raise_end()
            if status == HTTPStatus.OK:
                return True
            if status in REFUSALS:
                return False
            await self._wait(ping)
        return False

    async def _ask(self) -> int:
        """Request the rest of the stream, and return the status. 0 for a response that is not a stream."""
        forwarded, pool = self._forwarded, self._forwarded.pool
        endpoint, connection = await pool.acquire(stream=True, avoid=self._avoid)
        pool.release(forwarded.endpoint, forwarded.connection)
        forwarded.endpoint, forwarded.connection = endpoint, connection
        self._raise_end()
        self._request.attempts += 1
        try:
            timeout = max(ATTEMPT_TIMEOUT, 2 * PEER_TIMEOUT.ping_interval)
            connection.start_request("GET", self._head(endpoint.name), timeout=timeout)
            await connection.read_head()
        except UpstreamFailure as failure:
            pool.record_failure(endpoint, failure)
            self._avoid.add(endpoint.authority)
            raise
        pool.record_response(endpoint, connection)
        if connection.status == HTTPStatus.OK:
            return connection.status if is_event_stream(connection.headers) else 0
        self._avoid.add(endpoint.authority)
        return connection.status

    async def _wait(self, ping: SendPing) -> None:
        await asyncio.sleep(random.uniform(self._pause / 2, self._pause))  # noqa: S311 - jitter is no secret
        self._pause = min(self._pause * 2, MAX_PAUSE)
        self._raise_end()
        await ping()

    def _raise_end(self) -> None:
        if self._forwarded.ended is not None:
            raise self._forwarded.ended

    def _head(self, host: bytes) -> bytes:
        cursor = self._position.cursor
        return b"GET %b HTTP/1.1\r\nhost: %b\r\naccept: text/event-stream\r\nx-parley-resumes: 1\r\n%b%b\r\n" % (
            self._position.target,
            host,
            b"last-event-id: %b\r\n" % cursor if cursor else b"",
            b"".join(origin_lines(self._request)),
        )
