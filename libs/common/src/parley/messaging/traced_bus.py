"""A bus whose events are traced: a span for each publish, and for each time an event is handed to its handler."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Iterator

import structlog

from parley.messaging.bus import Bus
from parley.observability import tracing
from parley.observability.tracing import Span, SpanKind, Tracer
from parley_events.cloudevents import CloudEvent
from parley_events.subscription import Handler, Subscription
from parley_events.topology import EVENTS


class TracedBus:
    """Another bus, seen by one service. Both spans are children of the one in which the event came to be.

    The event itself goes on unchanged: what subscribers read is where it came from, not how often it was published.
    An event that came to be outside of any trace begins none.
    """

    def __init__(self, bus: Bus, tracer: Tracer) -> None:
        """Take the bus, which other services may share, and the tracer of this service."""
        self._bus, self._tracer = bus, tracer

    async def publish(self, event: CloudEvent) -> None:
        """Publish as the other bus does; raises PublishError."""
        if event.traceparent is None:
            await self._bus.publish(event)
            return
        attributes = {"messaging.operation.name": "publish", "messaging.operation.type": "send"}
        with self._spanned(f"publish {EVENTS}", SpanKind.PRODUCER, event, attributes):
            await self._bus.publish(event)

    @contextlib.asynccontextmanager
    async def consume(self, subscription: Subscription) -> AsyncIterator[None]:
        """Consume as the other bus does."""
        traced = dataclasses.replace(subscription, handler=self._traced(subscription))
        async with self._bus.consume(traced):
            yield

    async def ping(self) -> None:
        """Raise when the other bus cannot be reached."""
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
                # What an earlier event of the same task was bound to is none of this one's business.
                structlog.contextvars.unbind_contextvars(*tracing.LOG_IDS)
                await subscription.handler(event)
                return
            with self._spanned(f"process {queue}", SpanKind.CONSUMER, event, attributes) as span:
                structlog.contextvars.bind_contextvars(**tracing.log_ids(span))
                await subscription.handler(event)

        return handle

    @contextlib.contextmanager
    def _spanned(self, name: str, kind: SpanKind, event: CloudEvent, attributes: dict[str, str]) -> Iterator[Span]:
        parent = tracing.extract_context(event.traceparent)
        about = {
            "messaging.system": "rabbitmq",
            "messaging.destination.name": EVENTS,
            "messaging.rabbitmq.destination.routing_key": event.routing_key,
            "messaging.message.id": str(event.id),
        }
        span = self._tracer.start_span(name, context=parent, kind=kind, attributes=about | attributes)
        try:
            with tracing.use_span(span):
                yield span
        except Exception as error:
            tracing.mark_failed(span, type(error).__name__)
            raise
        finally:
            span.end()
