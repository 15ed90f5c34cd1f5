"""OpenTelemetry spans of one request: the server span, and the client span of the upstream request."""

import time
from typing import TypeAlias

from parley.observability import tracing
from parley.observability.request_sampling import SampledRequest, ids_of, sample_request
from parley.observability.tracer import EndedSpan
from parley.observability.tracing import FIRST_SERVER_ERROR, SpanContext, SpanKind, Tracer
from parley.web.middleware import UNMATCHED_ROUTE

_BAD_REQUEST, _CLIENT_CLOSED = 400, 499


class UnsampledTrace:
    """The ids of a request whose spans are not recorded."""

    __slots__ = ("_traceparent",)

    def __init__(self, traceparent: str) -> None:
        self._traceparent = traceparent

    def start_upstream_request(self, _template: str) -> str:
        """Return the ``traceparent`` for the service."""
        return self._traceparent

    def record_response(self, _host: str, _port: int, _status: int) -> None:
        """Record nothing."""

    def end(self, _template: str, _status: int, *, attempts: int, user: str | None) -> None:
        """Record nothing."""

    def log_ids(self) -> dict[str, str]:
        """Return the log fields that identify the request's span."""
        return ids_of(self._traceparent)


class RecordedTrace:
    """The spans of one request. The server span starts with the object; ``end`` ends and writes both."""

    __slots__ = ("_method", "_request", "_scheme", "_started", "_tracer", "_upstream")

    def __init__(self, tracer: Tracer, method: str, scheme: bytes, request: SampledRequest) -> None:
        self._tracer, self._method, self._scheme, self._request = tracer, method, scheme, request
        self._started = time.time_ns()
        self._upstream: _UpstreamRequest | None = None

    def start_upstream_request(self, template: str) -> str:
        """Start the client span, once for all attempts. Return the ``traceparent`` for the service."""
        if self._upstream is None:
            attributes: dict[str, str | int] = {"http.request.method": self._method, "url.template": template}
            self._upstream = _UpstreamRequest(self._request.child(), f"{self._method} {template}", attributes)
        return tracing.traceparent_for(self._upstream.context)

    def record_response(self, host: str, port: int, status: int) -> None:
        """Record the endpoint and the status of the upstream's response."""
        if self._upstream is not None:
            self._upstream.record_response(host, port, status)

    def end(self, template: str, status: int, *, attempts: int, user: str | None) -> None:
        """End both spans with the outcome of the request. ``user`` is a pseudonym."""
        ended, server = time.time_ns(), self._request.context
        if self._upstream is not None:
            self._tracer.write(self._upstream.end(ended, server, attempts, is_closed=status == _CLIENT_CLOSED))
        route = None if template == UNMATCHED_ROUTE else template
        attributes = tracing.request_attributes(self._method, self._scheme.decode())
        attributes |= tracing.response_attributes(route, status, user)
        has_failed = status >= FIRST_SERVER_ERROR
        if has_failed:
            attributes["error.type"] = str(status)
        name, parent = tracing.server_span_name(self._method, route), self._request.parent
        self._tracer.write(
            EndedSpan(name, SpanKind.SERVER, server, parent, self._started, ended, attributes, {}, has_failed)
        )

    def log_ids(self) -> dict[str, str]:
        """Return the log fields that identify the server span."""
        return ids_of(tracing.traceparent_for(self._request.context))


class _UpstreamRequest:
    """The client span: the request to a service, with all its attempts."""

    __slots__ = ("_attributes", "_events", "_name", "_started", "context")

    def __init__(self, context: SpanContext, name: str, attributes: dict[str, str | int]) -> None:
        self.context, self._name, self._attributes = context, name, attributes
        self._started = time.time_ns()
        self._events: dict[str, int] = {}

    def record_response(self, host: str, port: int, status: int) -> None:
        self._events["response head"] = time.time_ns()
        self._attributes |= {"server.address": host, "server.port": port, "http.response.status_code": status}
        if status >= _BAD_REQUEST:
            self._attributes["error.type"] = str(status)

    def end(self, ended: int, parent: SpanContext, attempts: int, *, is_closed: bool) -> EndedSpan:
        """Return the span. ``is_closed``: the client has closed the connection before the response."""
        if attempts > 1:
            self._attributes["http.request.resend_count"] = attempts - 1
        if not self._events and not is_closed:
            self._attributes["error.type"] = "no_answer"
        has_failed = "error.type" in self._attributes
        return EndedSpan(
            *(self._name, SpanKind.CLIENT, self.context, parent, self._started, ended),
            *(self._attributes, self._events, has_failed),
        )


RequestTrace: TypeAlias = RecordedTrace | UnsampledTrace


def start_trace(tracer: Tracer, method: str, scheme: bytes, traceparent: bytes | None) -> RequestTrace:
    """Start the trace of a request, or continue that of a valid ``traceparent``."""
    request = sample_request(tracer, traceparent.decode("latin-1") if traceparent else None)
    return UnsampledTrace(request) if isinstance(request, str) else RecordedTrace(tracer, method, scheme, request)
