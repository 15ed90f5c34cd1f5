"""An event carries its trace to whoever handles it: over the outbox, the relay, and any bus."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime

import httpx2
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
from parley_events.subscription import Subscription
from parley_testing.telemetry.span_collector import SpanCollector

Services = Callable[..., AbstractAsyncContextManager[httpx2.AsyncClient]]


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


def tracer_of(client: httpx2.AsyncClient) -> Tracer:
    tracer: Tracer = client.app.state.runtime.tracer  # type: ignore[attr-defined]
    return tracer


async def test_publish_and_process_are_children_of_what_made_the_event(spans: SpanCollector, service: Services) -> None:
    bus = MemoryBus()
    seen: list[str] = []
    async with service(spans.url, "chat") as chat, service(spans.url, "history") as history:

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


async def test_an_event_of_no_trace_begins_none(spans: SpanCollector, service: Services) -> None:
    handled = asyncio.Event()

    async def handle(_event: CloudEvent) -> None:
        handled.set()

    async with service(spans.url) as client:
        bus = TracedBus(MemoryBus(), tracer_of(client))
        async with bus.consume(Subscription("q", ("#",), handle)):
            await bus.publish(event(None))
    assert handled.is_set()
    assert spans.names() == []


async def test_a_handler_that_fails_shows_which_error_and_not_its_text(spans: SpanCollector, service: Services) -> None:
    async def fail(_event: CloudEvent) -> None:
        raise ValueError("canary")

    async with service(spans.url) as client:
        bus = TracedBus(MemoryBus(), tracer_of(client))
        async with bus.consume(Subscription("q", ("#",), fail)):
            with pytest.raises(PublishError):
                await bus.publish(event(tracing.traceparent_of(tracer_of(client).start_span("x"))))
    published, processed = await spans.find("publish parley.events"), await spans.find("process q")
    assert (processed.failed, processed.attributes["error.type"]) == (True, "ValueError")
    assert (published.failed, published.attributes["error.type"]) == (True, "PublishError")
    assert b"canary" not in spans.raw


class OneTask(MemoryBus):
    """Hands one event after the other to a handler, as a lane of the broker's consumer does."""

    @contextlib.asynccontextmanager
    async def consume(self, subscription: Subscription) -> AsyncIterator[None]:
        self.subscription = subscription
        yield

    async def publish(self, event: CloudEvent) -> None:
        await self.subscription.handler(event)


async def test_log_lines_of_an_event_of_no_trace_do_not_name_that_of_the_event_before(
    spans: SpanCollector, service: Services
) -> None:
    bound: list[set[str]] = []

    async def handle(_event: CloudEvent) -> None:
        bound.append({"trace_id", "span_id"} & structlog.contextvars.get_contextvars().keys())

    async with service(spans.url) as client:
        bus = TracedBus(OneTask(), tracer_of(client))
        async with bus.consume(Subscription("q", ("#",), handle)):
            await bus.publish(event(tracing.traceparent_of(tracer_of(client).start_span("x"))))
            await bus.publish(event(None))
    assert bound == [{"trace_id", "span_id"}, set()]


class Recorded:
    def __init__(self) -> None:
        self.values: tuple[object, ...] = ()

    async def fetchval(self, _query: str, *values: object) -> int:
        self.values = values
        return 1


async def test_the_outbox_remembers_the_span_an_event_was_written_in(spans: SpanCollector, service: Services) -> None:
    connection = Recorded()
    data = UserErased(user_id=new_id(), erasure_id="e", at=now())
    await outbox.append(connection, "user.erased", data, subject=data.user_id)
    assert connection.values[-1] is None
    async with service(spans.url) as client:
        span = tracer_of(client).start_span("x")
        with tracing.use_span(span):
            await outbox.append(connection, "user.erased", data, subject=data.user_id)
        assert connection.values[-1] == tracing.traceparent_of(span)
