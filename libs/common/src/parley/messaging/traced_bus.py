"""Traced bus: one span for each publish, and one for each time a handler processes an event."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Iterator

import structlog

from parley.messaging.bus import Bus
from parley.observability import tracing
from parley.observability.tracing import Span, SpanKind, Tracer
from parley_events.cloudevents import CloudEvent
from parley_events.subscription import Handler, Subscription
from parley_events.topology import EVENTS_EXCHANGE


class TracedBus:
    """Wraps a bus for one service.

    Both spans are children of the span in which the event was created. The event is published unchanged, with the
    trace context of its creation. An event without a trace context gets no spans.
    """

    def __init__(self, bus: Bus, tracer: Tracer) -> None:
        """``bus`` may be shared with other services; ``tracer`` is this service's."""
        self._bus, self._tracer = bus, tracer

    async def publish(self, event: CloudEvent) -> None:
        """Publish an event. Raise ``PublishError`` if the bus does not confirm it."""
        if event.traceparent is None:
            await self._bus.publish(event)
            return
        attributes = {"messaging.operation.name": "publish", "messaging.operation.type": "send"}
        with self._span(f"publish {EVENTS_EXCHANGE}", SpanKind.PRODUCER, event, attributes):
            await self._bus.publish(event)

    @contextlib.asynccontextmanager
    async def consume(self, subscription: Subscription) -> AsyncIterator[None]:
        """Hand events to the subscription's handler, each in a span, while the context is entered."""
        traced = dataclasses.replace(subscription, handler=self._traced(subscription))
        async with self._bus.consume(traced):
            yield

    async def ping(self) -> None:
        """Raise an exception if the bus is unavailable."""
        await self._bus.ping()

    def _traced(self, subscription: Subscription) -> Handler:
        queue = subscription.queue
        attributes = {
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.subscription.name": queue,
        }

        async def handle(event: CloudEvent) -> None:
            if event.traceparent is None:
                # The task may have handled a traced event before: its IDs do not belong in this event's log lines.
                structlog.contextvars.unbind_contextvars(*tracing.LOG_IDS)
                await subscription.handler(event)
                return
            with self._span(f"process {queue}", SpanKind.CONSUMER, event, attributes) as span:
                structlog.contextvars.bind_contextvars(**tracing.log_ids(span))
                await subscription.handler(event)

        return handle

    @contextlib.contextmanager
    def _span(self, name: str, kind: SpanKind, event: CloudEvent, attributes: dict[str, str]) -> Iterator[Span]:
        parent = tracing.extract_context(event.traceparent)
        common = {
            "messaging.system": "rabbitmq",
            "messaging.destination.name": EVENTS_EXCHANGE,
            "messaging.rabbitmq.destination.routing_key": event.routing_key,
            "messaging.message.id": str(event.id),
        }
        span = self._tracer.start_span(name, context=parent, kind=kind, attributes=common | attributes)
        try:
            with tracing.use_span(span):
                yield span
        except Exception as error:
            tracing.mark_failed(span, type(error).__name__)
            raise
        finally:
            span.end()
