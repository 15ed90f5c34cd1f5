"""Spans of one service, by OpenTelemetry's conventions. The tracer of an untraced service is ``None``.

Spans never contain message text, credentials, client addresses, paths or queries.
"""

import contextlib
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from typing import TypeAlias

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanContext, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from parley.observability.metrics import Metrics
from parley.observability.trace_settings import TraceSettings
from parley.observability.tracer import Tracer

__all__ = ["Span", "SpanContext", "SpanKind", "Tracer"]

MaybeTracer: TypeAlias = Tracer | None
METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"})
FIRST_SERVER_ERROR = 500
LOG_IDS = ("trace_id", "span_id")
_W3C = TraceContextTextMapPropagator()


@contextlib.asynccontextmanager
async def open_tracer(
    settings: TraceSettings, *, service: str, version: str, environment: str, metrics: Metrics
) -> AsyncIterator[MaybeTracer]:
    """Yield a tracer that sends spans to the configured collector, or None without a collector.

    On exit, spans that are not sent yet have ``parley.observability.trace_export.FLUSH_TIMEOUT`` seconds.
    """
    if settings.traces_url() is None:
        yield None
        return
    # Imported here because the SDK and its dependencies take 20 MB of memory.
    from parley.observability.trace_export import TraceExporter

    async with TraceExporter(
        settings, service=service, version=version, environment=environment, metrics=metrics
    ) as tracer:
        yield tracer


def extract_context(traceparent: str | None, tracestate: str | None = None) -> Context:
    """Return the trace context that a caller sent; an absent or malformed one is empty, which starts a new trace."""
    if not traceparent:
        return Context()
    return _W3C.extract({"traceparent": traceparent, "tracestate": tracestate or ""}, context=Context())


def traceparent_of(span: Span) -> str:
    """Return the ``traceparent`` of a span."""
    return traceparent_for(span.get_span_context())


def traceparent_for(found: SpanContext) -> str:
    """Return the ``traceparent`` of a span with these ids."""
    return f"00-{found.trace_id:032x}-{found.span_id:016x}-{found.trace_flags:02x}"


def current_traceparent() -> str | None:
    """Return the ``traceparent`` of the current span, or None outside of a trace."""
    span = trace.get_current_span()
    return traceparent_of(span) if span.get_span_context().is_valid else None


def log_ids(span: Span) -> dict[str, str]:
    """Return the log fields that identify a span."""
    found = span.get_span_context()
    return {"trace_id": f"{found.trace_id:032x}", "span_id": f"{found.span_id:016x}"}


def use_span(span: Span) -> AbstractContextManager[Span]:
    """Make a span current while the context is open, without ending it and without recording exception messages."""
    return trace.use_span(span, end_on_exit=False, record_exception=False, set_status_on_exception=False)


def mark_failed(span: Span, error_type: str) -> None:
    """Mark a span as failed; ``error_type`` is a stable name, never an error message."""
    span.set_attribute("error.type", error_type)
    span.set_status(StatusCode.ERROR)


def start_server_span(tracer: Tracer, method: str, scheme: str, parent: Context) -> Span:
    """Start the span of an incoming request; ``end_server_span`` names it once the route is known."""
    attributes = request_attributes(method, scheme)
    return tracer.start_span(server_span_name(method), context=parent, kind=SpanKind.SERVER, attributes=attributes)


def end_server_span(span: Span, method: str, route: str | None, status: int, user: str | None) -> None:
    """End the span of an incoming request with its result; ``user`` is a pseudonym."""
    if span.is_recording():
        span.update_name(server_span_name(method, route))
        span.set_attributes(response_attributes(route, status, user))
        if status >= FIRST_SERVER_ERROR:
            mark_failed(span, str(status))
    span.end()


def server_span_name(method: str, route: str | None = None) -> str:
    """Return the name of the span of an incoming request."""
    known = method if method in METHODS else "HTTP"
    return known if route is None else f"{known} {route}"


def request_attributes(method: str, scheme: str) -> dict[str, str | int]:
    """Return the attributes of an incoming request."""
    return {"http.request.method": method if method in METHODS else "_OTHER", "url.scheme": scheme}


def response_attributes(route: str | None, status: int, user: str | None) -> dict[str, str | int]:
    """Return the attributes that are known once an incoming request has its response; ``user`` is a pseudonym."""
    attributes: dict[str, str | int] = {"http.response.status_code": status}
    if route is not None:
        attributes["http.route"] = route
    if user:
        attributes["enduser.pseudo.id"] = user
    return attributes
