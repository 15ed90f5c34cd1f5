"""Metrics and spans of a subscriber."""

import asyncio
from dataclasses import replace

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry

from parley_events import CloudEvent, Rejected
from parley_events.consuming.dispatcher import Outcome
from parley_events.metrics import SubscriberMetrics
from parley_events.testing import InProcessBus
from parley_testing.subscriber_runs import QUEUE, Recorder, subscriber_of, turn
from parley_testing.virtual_time import virtual_time

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@virtual_time
async def test_outcomes_are_counted_and_the_lag_is_measured() -> None:
    registry, bus = CollectorRegistry(), InProcessBus()
    errors = {2: RuntimeError(), 3: Rejected()}
    handler = Recorder(lambda event: errors.pop(event.sequence, None))
    subscriber = subscriber_of(bus, handler, on_outcome=SubscriberMetrics(QUEUE, registry))
    async with bus.running(subscriber):
        await bus.publish(*(turn("a", number) for number in (1, 2, 3)))
        await asyncio.sleep(10)

    def count(outcome: str) -> float | None:
        return registry.get_sample_value("parley_events_outcomes_total", {"queue": QUEUE, "outcome": outcome})

    assert (count("handled"), count("retried"), count("dead")) == (2, 1, 1)
    assert registry.get_sample_value("parley_events_lag_seconds", {"queue": QUEUE}) is not None


def test_two_subscribers_of_a_process_have_the_same_metrics_with_their_own_label() -> None:
    registry = CollectorRegistry()
    for queue in ("sub.team.a", "sub.team.b"):
        SubscriberMetrics(queue, registry)("handled", turn("a", 1))
    for queue in ("sub.team.a", "sub.team.b"):
        labels = {"queue": queue, "outcome": "handled"}
        assert registry.get_sample_value("parley_events_outcomes_total", labels) == 1


@virtual_time
async def test_an_observer_that_fails_changes_nothing_for_the_events() -> None:
    bus, handler = InProcessBus(), Recorder(lambda event: Rejected() if event.sequence == 2 else None)

    def observe(_outcome: Outcome, _event: CloudEvent | None) -> None:
        raise RuntimeError

    subscriber = subscriber_of(bus, handler, on_outcome=observe)
    async with bus.running(subscriber):
        await bus.publish(*(turn("a", number) for number in (1, 2, 3)))
        await bus.settled(subscriber)
    assert handler.of("a") == [1, 3]
    assert len(bus.dead_letters(QUEUE)) == 1


@virtual_time
async def test_each_attempt_is_a_span_that_links_to_the_trace_of_the_event() -> None:
    exporter, provider, bus = InMemorySpanExporter(), TracerProvider(), InProcessBus()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    errors = {1: RuntimeError("secret")}
    handler = Recorder(lambda event: errors.pop(event.sequence, None))
    subscriber = subscriber_of(bus, handler, tracer=provider.get_tracer("test"))
    async with bus.running(subscriber):
        await bus.publish(replace(turn("a", 1), traceparent=f"00-{TRACE}-{SPAN}-01"))
        await asyncio.sleep(10)
    failed, handled = exporter.get_finished_spans()
    assert [span.name for span in (failed, handled)] == [f"process {QUEUE}"] * 2
    assert [link.context.trace_id for link in handled.links] == [int(TRACE, 16)]
    assert (failed.attributes or {})["error.type"] == "RuntimeError"
    assert "secret" not in failed.to_json()
    provider.shutdown()
