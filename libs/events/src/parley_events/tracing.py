"""Spans of a subscriber's handlers, linked to the trace in which the event was created (extra `tracing`)."""

import re
from collections.abc import Awaitable, Callable

from opentelemetry.trace import Link, SpanContext, SpanKind, StatusCode, TraceFlags, Tracer

from parley_events.cloudevents import CloudEvent
from parley_events.topology import EVENTS_EXCHANGE

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


def traced(
    handler: Callable[[CloudEvent], Awaitable[None]], tracer: Tracer, queue: str
) -> Callable[[CloudEvent], Awaitable[None]]:
    """Wrap a handler so that each attempt is a span, which links to the span that created the event."""

    async def handle(event: CloudEvent) -> None:
        attributes = {
            "messaging.system": "rabbitmq",
            "messaging.operation.type": "process",
            "messaging.destination.name": EVENTS_EXCHANGE,
            "messaging.destination.subscription.name": queue,
            "messaging.message.id": str(event.id),
        }
        with tracer.start_as_current_span(
            f"process {queue}",
            kind=SpanKind.CONSUMER,
            attributes=attributes,
            links=_links(event),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                await handler(event)
            except Exception as error:
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(StatusCode.ERROR)
                raise

    return handle


def _links(event: CloudEvent) -> list[Link]:
    found = _TRACEPARENT.fullmatch(event.traceparent or "")
    if found is None:
        return []
    trace_id, span_id, flags = (int(part, 16) for part in found.groups())
    context = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))
    return [Link(context)] if context.is_valid else []
