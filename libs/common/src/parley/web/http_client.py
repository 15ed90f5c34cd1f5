"""The HTTP client between services: timeouts on everything, no redirects, no proxies from the environment."""

import contextlib
from collections.abc import AsyncIterator

import httpx2

from parley.observability import tracing
from parley.observability.tracing import SpanKind, Tracer

CONNECT_TIMEOUT = 1.0
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
    """Open a pooled client; times are seconds. With a ``tracer`` each request has a span, and says so to its server."""
    limits = httpx2.Limits(max_connections=max_connections, keepalive_expiry=30)
    transport: httpx2.AsyncBaseTransport = httpx2.AsyncHTTPTransport(limits=limits, trust_env=False)
    client = httpx2.AsyncClient(
        base_url=base_url,
        timeout=httpx2.Timeout(read_timeout, connect=CONNECT_TIMEOUT, pool=CONNECT_TIMEOUT),
        transport=transport if tracer is None else TracedTransport(transport, tracer),
        follow_redirects=False,
        trust_env=False,
    )
    async with client:
        yield client


class TracedTransport(httpx2.AsyncBaseTransport):
    """Another transport, with a span from each request's first byte to its answer's head.

    What is asked outside of any trace, by loops in the background, begins none.
    """

    def __init__(self, transport: httpx2.AsyncBaseTransport, tracer: Tracer) -> None:
        self._transport, self._tracer = transport, tracer

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request that names its span; raises what the other transport raises."""
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
        """Close the other transport."""
        await self._transport.aclose()


def _attributes(request: httpx2.Request) -> dict[str, str | int]:
    """Describe a request without its path, which holds ids, and its query."""
    port = request.url.port or (443 if request.url.scheme == "https" else 80)
    return {"http.request.method": request.method, "server.address": request.url.host, "server.port": port}
