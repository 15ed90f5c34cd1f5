"""One HTTP request: to a checked address, without redirects, bounded in time and in what is read."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import aiohttp

from webhooks.outgoing.resolver import PooledResolver
from webhooks.outgoing.targets import TargetPolicy, TargetRefused

REQUEST_TIMEOUT = 15.0
"""Seconds from the start of a request to the head of its response."""
DRAIN_TIMEOUT = 1.0
MAX_RESPONSE = 16_384
"""Seconds and bytes for reading the rest of a response, so that its connection can be used again."""


@dataclass(frozen=True, slots=True)
class Response:
    """The outcome of a request: a status, or the reason why there is none."""

    status: int | None
    error: str | None
    latency_ms: int

    @property
    def succeeded(self) -> bool:
        """Whether the receiver has accepted the delivery."""
        return self.status is not None and 200 <= self.status < 300  # noqa: PLR2004 - the class of the status


class HttpSender:
    """Sends deliveries."""

    def __init__(
        self, session: aiohttp.ClientSession, policy: TargetPolicy, *, timeout: float = REQUEST_TIMEOUT
    ) -> None:
        self._session, self._policy, self._timeout = session, policy, timeout

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Response:
        """Send one request; errors of the network and of the receiver are part of the outcome."""
        began = time.perf_counter()
        status, error = await self._attempt(url, body, headers)
        return Response(status, error, round((time.perf_counter() - began) * 1000))

    async def _attempt(self, url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int | None, str | None]:
        try:
            # Read again at each attempt: the rules may have changed since the webhook was made.
            target = self._policy.read_url(url)
        except ValueError:
            return None, "address_refused"
        try:
            async with asyncio.timeout(self._timeout):
                response = await self._session.post(target, data=body, headers=headers, allow_redirects=False)
        except Exception as error:  # noqa: BLE001 - whatever a receiver or the network does is an outcome
            return None, reason_of(error)
        await _drain(response)
        status = response.status
        return status, None if 200 <= status < 300 else f"status_{status}"  # noqa: PLR2004 - the class of the status


async def _drain(response: aiohttp.ClientResponse) -> None:
    """Read a short rest, which frees the connection for the next request; close it after a long or slow one."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(DRAIN_TIMEOUT):
            left = MAX_RESPONSE
            while left > 0 and not response.content.at_eof():
                left -= len(await response.content.read(left))
    if response.content.at_eof():
        response.release()
    else:
        response.close()


def reason_of(error: Exception) -> str:
    """Name a failed request without addresses or text of the receiver."""
    if any(isinstance(cause, TargetRefused) for cause in _causes(error)):
        return "address_refused"
    kinds: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
        (TimeoutError, "timeout"),
        (aiohttp.InvalidURL, "address_refused"),  # a number in place of a name
        (aiohttp.ClientConnectorCertificateError, "certificate_invalid"),
        (aiohttp.ClientConnectorSSLError, "tls_failed"),
        (aiohttp.ClientConnectorDNSError, "name_not_found"),
        (aiohttp.ClientConnectorError, "connection_failed"),
        (aiohttp.ClientResponseError, "response_invalid"),
        (aiohttp.ClientError, "connection_lost"),
        (OSError, "connection_failed"),
    )
    return next((name for kind, name in kinds if isinstance(error, kind)), "request_failed")


def _causes(error: BaseException) -> list[BaseException]:
    """Return an error, its causes, and the members of groups."""
    found: list[BaseException] = []
    pending: list[BaseException | None] = [error]
    while pending and len(found) < 20:  # noqa: PLR2004 - a bound against cycles
        each = pending.pop()
        if each is not None:
            found.append(each)
            pending += [each.__cause__, each.__context__, getattr(each, "os_error", None)]
            pending += getattr(each, "exceptions", ())
    return found


@contextlib.asynccontextmanager
async def open_sender(policy: TargetPolicy, *, timeout: float = REQUEST_TIMEOUT) -> AsyncIterator[HttpSender]:
    """Open the HTTP client. It reads no proxy from the environment, stores no cookie, and inflates nothing."""
    resolver = PooledResolver()
    connector = aiohttp.TCPConnector(
        resolver=resolver, limit=0, use_dns_cache=False, keepalive_timeout=15, socket_factory=policy.open_socket
    )
    try:
        async with aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=timeout + DRAIN_TIMEOUT),
            auto_decompress=False,
            trust_env=False,
        ) as session:
            yield HttpSender(session, policy, timeout=timeout)
    finally:
        await resolver.close()
