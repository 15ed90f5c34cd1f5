"""Liveness checks: an endpoint that leaves requests unanswered is asked for its health, and skipped if it is silent."""

import asyncio
import errno
import math
import time

import structlog

from gateway.upstream.connection import READ_SIZE, UpstreamConnection
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.failures import EndpointFrozen, ResponseTimeout, UpstreamFailure
from gateway.upstream.pool import Pool
from parley.process.sockets import PEER_TIMEOUT
from parley.process.timeouts import lag_tolerant_timeout

log = structlog.get_logger()

INTERVAL = 0.25
UNANSWERED_TIMEOUT, CHECK_TIMEOUT = 1.0, 1.0
"""Seconds without a byte of the response after which the endpoint is checked, and until its health must arrive."""
_UNREACHABLE = frozenset({errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ENETUNREACH})


class LivenessMonitor:
    """Finds frozen endpoints of a pool: suspended processes, stuck event loops, and hosts that vanished.

    An endpoint is frozen if it leaves a request unanswered and also does not return its health. The pool skips it until
    it responds, and its repeatable requests move to another endpoint, as far as the retry budget permits. The last
    available endpoint of a pool is skipped only after ``PEER_TIMEOUT``: a short pause fails no request.
    """

    def __init__(self, pool: Pool, *, check_timeout: float = CHECK_TIMEOUT) -> None:
        self._pool, self._check_timeout = pool, check_timeout
        self._read_buffer = bytearray(READ_SIZE)
        self._checking: set[Endpoint] = set()
        self.name = pool.name

    async def run(self) -> None:
        """Check endpoints when they need it. Runs forever."""
        self._checking.clear()
        async with asyncio.TaskGroup() as checks:
            while True:
                for endpoint in self.suspects():
                    self._checking.add(endpoint)
                    checks.create_task(self._check_once(endpoint))
                await asyncio.sleep(INTERVAL)

    def suspects(self) -> list[Endpoint]:
        """Return the endpoints to check now: frozen ones, and those with a request that waits for its response."""
        before = time.monotonic() - UNANSWERED_TIMEOUT
        return [
            endpoint
            for endpoint in self._pool.all_endpoints
            if endpoint not in self._checking
            and (endpoint.frozen or any(each.began <= before for each in _unanswered(endpoint)))
        ]

    async def check(self, endpoint: Endpoint) -> None:
        """Ask an endpoint for its health, and skip it or use it again accordingly."""
        asked, waiting = time.monotonic(), {each: each.began for each in _unanswered(endpoint)}
        if await self._responds(endpoint) or _served(endpoint, waiting, asked):
            endpoint.healthy_at, endpoint.silent_since = asked, math.inf
            if endpoint.frozen:
                endpoint.thaw()
                log.info("upstream_responds_again", upstream=self.name, address=endpoint.authority.decode())
            return
        # A slow request may have waited for long while the endpoint returned its health.
        silent_since = max(min(waiting.values(), default=asked), endpoint.healthy_at)
        endpoint.silent_since = min(endpoint.silent_since, silent_since)
        self._skip(endpoint)

    async def _check_once(self, endpoint: Endpoint) -> None:
        try:
            await self.check(endpoint)
            if not endpoint.frozen:  # while an endpoint is frozen, its check itself takes about as long
                await asyncio.sleep(UNANSWERED_TIMEOUT)
        finally:
            self._checking.discard(endpoint)

    async def _responds(self, endpoint: Endpoint) -> bool:
        """Return whether the process or its host responds. A refused connection is a response of the host."""
        connection = UpstreamConnection(lambda _lost: None, self._read_buffer)
        try:
            async with lag_tolerant_timeout(self._check_timeout):
                loop = asyncio.get_running_loop()
                await loop.create_connection(lambda: connection, endpoint.host, endpoint.port)
                head = b"GET /health HTTP/1.1\r\nhost: %b\r\nconnection: close\r\n\r\n" % endpoint.name
                connection.start_request("GET", head, timeout=self._check_timeout)
                await connection.read_head()
        except OSError as error:  # a TimeoutError of the block above or of the kernel: nothing has responded
            return not isinstance(error, TimeoutError) and error.errno not in _UNREACHABLE
        except UpstreamFailure:
            return True
        finally:
            connection.abort()
        return True

    def _skip(self, endpoint: Endpoint) -> None:
        """Skip a silent endpoint, and move or fail the requests that wait for it."""
        now = time.monotonic()
        others = any(each is not endpoint and each.is_available(now) for each in self._pool.endpoints)
        is_lost = now - endpoint.silent_since >= PEER_TIMEOUT.seconds
        if not others and not is_lost:
            return
        if not endpoint.frozen:
            endpoint.freeze()
            log.warning("upstream_frozen", upstream=self.name, address=endpoint.authority.decode())
            self._pool.on_ejection()
        for connection in _unanswered(endpoint):
            if connection.repeatable and others and self._pool.retries.take():
                connection.fail(EndpointFrozen(retry=True))
            elif is_lost:
                connection.fail(EndpointFrozen() if connection.repeatable else ResponseTimeout())


def _unanswered(endpoint: Endpoint) -> list[UpstreamConnection]:
    return [each for each in endpoint.connections if each.busy and not each.received]


def _served(endpoint: Endpoint, waiting: dict[UpstreamConnection, float], since: float) -> bool:
    """Return whether a request that was waiting, or that was sent later, has a response."""
    return any(each.received and (each.began >= since or each in waiting) for each in endpoint.connections)
