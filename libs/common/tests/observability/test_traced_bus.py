"""Traces of events, from the outbox to the handler."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import pytest
import structlog

from parley.ids import new_id
from parley.messaging import outbox
from parley.messaging.bus import PublishError
from parley.messaging.memory_bus import MemoryBus
from parley.messaging.traced_bus import TracedBus
from parley.observability import tracing
from parley.observability.tracing import Tracer, current_traceparent
from parley.times import now
from parley_events.cloudevents import CloudEvent
from parley_events.models import UserErased
from parley_events.subscription import Batching, Subscription
from parley_testing import eventually
from parley_testing.telemetry.span_collector import SpanCollector
from parley_testing.telemetry.traced_service import ServiceClient, traced_service


def event(traceparent: str | None) -> CloudEvent:
    return CloudEvent(
        id=new_id(),
        source="/services/chat",
        name="user.erased",
        version=1,
        subject="canary-subject",
        time=datetime.now(UTC),
        partition_key="canary-key",
        sequence=1,
        data=b'{"text":"canary-data"}',
        traceparent=traceparent,
    )


def tracer_of(client: ServiceClient) -> Tracer:
    assert client.runtime.tracer is not None
    return client.runtime.tracer


async def test_publish_and_process_spans_are_children_of_the_span_that_created_the_event(spans: SpanCollector) -> None:
    bus = MemoryBus()
    seen: list[str] = []
    async with traced_service(spans.url, "chat") as chat, traced_service(spans.url, "history") as history:

        async def handle(event: CloudEvent) -> None:
            seen.extend(traceparent or "" for traceparent in (event.traceparent, current_traceparent()))

        async with TracedBus(bus, tracer_of(history)).consume(Subscription("history.turns", ("user.*",), handle)):
            making = tracer_of(chat).start_span("making")
            await TracedBus(bus, tracer_of(chat)).publish(event(tracing.traceparent_of(making)))
            making.end()
    made = await spans.find("making")
    published = await spans.find("publish parley.events", service="chat", kind="PRODUCER")
    processed = await spans.find("process history.turns", service="history", kind="CONSUMER")
    assert published.under(made)
    assert processed.under(made)
    assert published.attributes["messaging.rabbitmq.destination.routing_key"] == "user.erased"
    assert [traceparent.split("-")[2] for traceparent in seen] == [made.span_id, processed.span_id]
    assert b"canary" not in spans.raw


async def test_an_event_without_a_trace_starts_none(spans: SpanCollector) -> None:
    handled = asyncio.Event()

    async def handle(_event: CloudEvent) -> None:
        handled.set()

    async with traced_service(spans.url) as client:
        bus = TracedBus(MemoryBus(), tracer_of(client))
        async with bus.consume(Subscription("q", ("#",), handle)):
            await bus.publish(event(None))
    assert handled.is_set()
    assert spans.names() == []


async def test_a_failing_handler_exports_the_type_of_its_error_without_the_message(spans: SpanCollector) -> None:
    async def fail(_event: CloudEvent) -> None:
        raise ValueError("canary")

    async with traced_service(spans.url) as client:
        bus = TracedBus(MemoryBus(), tracer_of(client))
        async with bus.consume(Subscription("q", ("#",), fail)):
            with pytest.raises(PublishError):
                await bus.publish(event(tracing.traceparent_of(tracer_of(client).start_span("x"))))
    published, processed = await spans.find("publish parley.events"), await spans.find("process q")
    assert (processed.failed, processed.attributes["error.type"]) == (True, "ValueError")
    assert (published.failed, published.attributes["error.type"]) == (True, "PublishError")
    assert b"canary" not in spans.raw


class OneTask(MemoryBus):
    """Handles all events in one task, as a worker of the RabbitMQ consumer does."""

    @contextlib.asynccontextmanager
    async def consume(self, subscription: Subscription) -> AsyncIterator[None]:
        self.subscription = subscription
        yield

    async def publish(self, event: CloudEvent) -> None:
        await self.subscription.handler(event)


async def test_log_lines_of_an_untraced_event_do_not_contain_the_previous_trace(spans: SpanCollector) -> None:
    bound: list[set[str]] = []

    async def handle(_event: CloudEvent) -> None:
        bound.append({"trace_id", "span_id"} & structlog.contextvars.get_contextvars().keys())

    async with traced_service(spans.url) as client:
        bus = TracedBus(OneTask(), tracer_of(client))
        async with bus.consume(Subscription("q", ("#",), handle)):
            await bus.publish(event(tracing.traceparent_of(tracer_of(client).start_span("x"))))
            await bus.publish(event(None))
    assert bound == [{"trace_id", "span_id"}, set()]


class OneBatch(OneTask):
    """Handles events as a batch."""

    async def publish_batch(self, *events: CloudEvent) -> None:
        assert self.subscription.batching is not None
        await self.subscription.batching.handler(events)


async def test_each_traced_event_of_a_batch_has_a_span_and_none_is_current(spans: SpanCollector) -> None:
    seen: list[str | None] = []

    async def handle(_event: CloudEvent) -> None: ...

    async def handle_batch(events: Sequence[CloudEvent]) -> Sequence[CloudEvent]:
        seen.append(current_traceparent())
        if len(events) == 1:
            raise ValueError("canary")
        return []

    async with traced_service(spans.url) as client:
        bus = OneBatch()
        subscription = Subscription("q", ("#",), handle, batching=Batching(handle_batch))
        making = tracer_of(client).start_span("making")
        traced = event(tracing.traceparent_of(making))
        async with TracedBus(bus, tracer_of(client)).consume(subscription):
            await bus.publish_batch(traced, event(None), traced)
            with pytest.raises(ValueError, match="canary"):
                await bus.publish_batch(traced)
        making.end()
    made = await spans.find("making")
    await eventually(lambda: [name for _, name in spans.names()].count("process q") == 3 or None)
    processed = [span for span in spans.spans if span.name == "process q"]
    assert all(span.under(made) for span in processed)
    assert [span.failed for span in processed].count(True) == 1
    assert seen == [None, None]
    assert b"canary" not in spans.raw


class Recorded:
    def __init__(self) -> None:
        self.values: tuple[object, ...] = ()

    async def fetchval(self, _query: str, *values: object) -> int:
        self.values = values
        return 1


async def test_the_outbox_stores_the_current_span_with_an_event(spans: SpanCollector) -> None:
    connection = Recorded()
    data = UserErased(user_id=new_id(), erasure_id="e", at=now())
    await outbox.append(connection, "user.erased", data, subject=data.user_id)
    assert connection.values[-1] is None
    async with traced_service(spans.url) as client:
        span = tracer_of(client).start_span("x")
        with tracing.use_span(span):
            await outbox.append(connection, "user.erased", data, subject=data.user_id)
        assert connection.values[-1] == tracing.traceparent_of(span)
