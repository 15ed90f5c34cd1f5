"""OpenTelemetry spans of one request: the server span, and the client span of the upstream request."""

from parley.observability import tracing
from parley.observability.tracing import Span, SpanKind, Tracer
from parley.web.middleware import UNMATCHED_ROUTE

_BAD_REQUEST, _CLIENT_CLOSED = 400, 499


class RequestTrace:
    """The spans of one request. The server span starts with the object; ``end`` ends both."""

    __slots__ = ("_client_span", "_has_response", "_method", "_tracer", "span")

    def __init__(self, tracer: Tracer, method: str, scheme: bytes, traceparent: bytes | None) -> None:
        """Start the server span, in the trace of a valid ``traceparent`` or in a new one."""
        parent = tracing.extract_context(traceparent.decode("latin-1") if traceparent else None)
        self._tracer, self._method = tracer, method
        self.span = tracing.start_server_span(tracer, method, scheme.decode(), parent)
        self._client_span: Span | None = None
        self._has_response = False

    def start_upstream_request(self, template: str) -> str:
        """Start the client span, once for all attempts. Return the ``traceparent`` for the service."""
        if not self.span.is_recording():
            return tracing.traceparent_of(self.span)
        if self._client_span is None:
            attributes = {"http.request.method": self._method, "url.template": template}
            context = tracing.child_context(self.span)
            name = f"{self._method} {template}"
            self._client_span = self._tracer.start_span(
                name, context=context, kind=SpanKind.CLIENT, attributes=attributes
            )
        return tracing.traceparent_of(self._client_span)

    def record_response(self, host: str, port: int, status: int) -> None:
        """Record the endpoint and the status of the upstream's response."""
        if self._client_span is None:
            return
        self._has_response = True
        self._client_span.add_event("response head")
        self._client_span.set_attributes({
            "server.address": host,
            "server.port": port,
            "http.response.status_code": status,
        })  # fmt: skip
        if status >= _BAD_REQUEST:
            tracing.mark_failed(self._client_span, str(status))

    def end(self, template: str, status: int, *, attempts: int, user: str | None) -> None:
        """End both spans with the outcome of the request. ``user`` is a pseudonym."""
        if self._client_span is not None:
            if attempts > 1:
                self._client_span.set_attribute("http.request.resend_count", attempts - 1)
            if not self._has_response and status != _CLIENT_CLOSED:
                tracing.mark_failed(self._client_span, "no_answer")
            self._client_span.end()
        route = None if template == UNMATCHED_ROUTE else template
        tracing.end_server_span(self.span, self._method, route, status, user)
