"""Traced bus: one span for each publish, and one for each time a handler processes an event."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Iterator, Sequence

import structlog

from parley.messaging.bus import Bus
from parley.observability import tracing
from parley.observability.tracing import Span, SpanKind, Tracer
from parley_events.cloudevents import CloudEvent
from parley_events.subscription import BatchHandler, Handler, Subscription
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
        """Hand events to the subscription's handlers, each event in a span, while the context is entered."""
        batching = subscription.batching
        if batching is not None:
            batching = dataclasses.replace(batching, handler=self._traced_batches(subscription.queue, batching.handler))
        traced = dataclasses.replace(subscription, handler=self._traced(subscription), batching=batching)
        async with self._bus.consume(traced):
            yield

    async def bind(self, queue: str, routing_key: str) -> None:
        """Bind a consumed queue to more events. Raise ``BusDown`` unless it is confirmed."""
        await self._bus.bind(queue, routing_key)

    async def ping(self) -> None:
        """Raise an exception if the bus is unavailable."""
        await self._bus.ping()

    async def waiting(self, queues: Sequence[str]) -> dict[str, int]:
        """Return the number of events that wait in each of the queues that exist."""
        return await self._bus.waiting(queues)

    def _traced(self, subscription: Subscription) -> Handler:
        queue = subscription.queue
        attributes = _process_attributes(queue)

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

    def _traced_batches(self, queue: str, handler: BatchHandler) -> BatchHandler:
        attributes = _process_attributes(queue)

        async def handle(events: Sequence[CloudEvent]) -> Sequence[CloudEvent]:
            # The events of a batch are handled together, so none of their spans is current.
            structlog.contextvars.unbind_contextvars(*tracing.LOG_IDS)
            with contextlib.ExitStack() as spans:
                for event in events:
                    if event.traceparent is not None:
                        spans.enter_context(
                            self._span(f"process {queue}", SpanKind.CONSUMER, event, attributes, current=False)
                        )
                return await handler(events)

        return handle

    @contextlib.contextmanager
    def _span(
        self, name: str, kind: SpanKind, event: CloudEvent, attributes: dict[str, str], *, current: bool = True
    ) -> Iterator[Span]:
        parent = tracing.extract_context(event.traceparent)
        common = {
            "messaging.system": "rabbitmq",
            "messaging.destination.name": EVENTS_EXCHANGE,
            "messaging.rabbitmq.destination.routing_key": event.routing_key,
            "messaging.message.id": str(event.id),
        }
        span = self._tracer.start_span(name, context=parent, kind=kind, attributes=common | attributes)
        try:
            with tracing.use_span(span) if current else contextlib.nullcontext():
                yield span
        except Exception as error:
            tracing.mark_failed(span, type(error).__name__)
            raise
        finally:
            span.end()


def _process_attributes(queue: str) -> dict[str, str]:
    return {
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.subscription.name": queue,
    }
