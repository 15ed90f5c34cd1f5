"""HTTP client for calls between services: with timeouts, without redirects and environment proxies."""

import contextlib
import functools
import ssl
from collections.abc import AsyncIterator

import httpx2

from parley.observability import tracing
from parley.observability.tracing import SpanKind, Tracer
from parley.process.sockets import PEER_TIMEOUT

CONNECT_TIMEOUT = 1.0
"""Seconds for a connection, with the lookup of the name; shorter than a resolver waits for a reply that was lost."""
CONNECT_RETRIES = 1
"""Further attempts to connect. Nothing was sent yet, and the next one looks the name up again."""
READ_TIMEOUT = 10.0
MAX_CONNECTIONS = 100

FIRST_ERROR_STATUS = 400


@contextlib.asynccontextmanager
async def open_client(
    base_url: str = "",
    *,
    read_timeout: float = READ_TIMEOUT,
    max_connections: int = MAX_CONNECTIONS,
    tracer: Tracer | None = None,
) -> AsyncIterator[httpx2.AsyncClient]:
    """Open a pooled client; timeouts are in seconds. With a ``tracer``, requests have spans and a ``traceparent``."""
    limits = httpx2.Limits(max_connections=max_connections, keepalive_expiry=30)
    transport: httpx2.AsyncBaseTransport = httpx2.AsyncHTTPTransport(
        verify=_trusted(),
        limits=limits,
        trust_env=False,
        retries=CONNECT_RETRIES,
        socket_options=list(PEER_TIMEOUT.keepalive()),
    )
    client = httpx2.AsyncClient(
        base_url=base_url,
        timeout=httpx2.Timeout(read_timeout, connect=CONNECT_TIMEOUT),  # a busy pool makes a request wait
        transport=transport if tracer is None else TracedTransport(transport, tracer),
        follow_redirects=False,
        trust_env=False,
    )
    async with client:
        yield client


@functools.cache
def _trusted() -> ssl.SSLContext:
    """Return the trusted certificates. Loading them takes 50 ms of CPU time, and a process has several clients."""
    return httpx2.create_ssl_context(trust_env=False)


class TracedTransport(httpx2.AsyncBaseTransport):
    """Transport wrapper that records a span from the request to the head of its response.

    Requests outside of a trace, such as those of background tasks, start no trace.
    """

    def __init__(self, transport: httpx2.AsyncBaseTransport, tracer: Tracer) -> None:
        self._transport, self._tracer = transport, tracer

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request with the ``traceparent`` of its span."""
        if tracing.current_traceparent() is None:
            return await self._transport.handle_async_request(request)
        span = self._tracer.start_span(request.method, kind=SpanKind.CLIENT, attributes=_attributes(request))
        request.headers["traceparent"] = tracing.traceparent_of(span)
        try:
            response = await self._transport.handle_async_request(request)
        except Exception as error:
            tracing.mark_failed(span, type(error).__name__)
            raise
        else:
            span.set_attribute("http.response.status_code", response.status_code)
            if response.status_code >= FIRST_ERROR_STATUS:
                tracing.mark_failed(span, str(response.status_code))
            return response
        finally:
            span.end()

    async def aclose(self) -> None:
        """Close the wrapped transport."""
        await self._transport.aclose()


def _attributes(request: httpx2.Request) -> dict[str, str | int]:
    """Return span attributes without path and query, which contain ids."""
    port = request.url.port or (443 if request.url.scheme == "https" else 80)
    return {"http.request.method": request.method, "server.address": request.url.host, "server.port": port}
