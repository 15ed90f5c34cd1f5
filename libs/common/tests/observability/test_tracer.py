"""Spans that are not sampled have ids and never reach OpenTelemetry's SDK."""

import pytest
from opentelemetry import trace
from opentelemetry.trace import INVALID_SPAN_CONTEXT, NonRecordingSpan, SpanContext, TraceFlags

from parley.observability.tracer import SamplingRule, Tracer
from parley.observability.tracing import child_context

TRACE_ID, SPAN_ID = 0xAF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331
SMALL, LARGE = 1 << 64, (1 << 64) - 1
"""Trace ids with the smallest and with the largest lower bits."""


def parent_with(flags: int) -> SpanContext:
    return SpanContext(TRACE_ID, SPAN_ID, is_remote=True, trace_flags=TraceFlags(flags))


@pytest.mark.parametrize(
    ("sampler", "ratio", "root", "under_sampled", "under_unsampled"),
    [
        ("always_on", 0.0, (True, True), True, True),
        ("always_off", 1.0, (False, False), False, False),
        ("traceidratio", 0.5, (True, False), False, False),
        ("traceidratio", 1.0, (True, True), True, True),
        ("traceidratio", 0.0, (False, False), False, False),
        ("parentbased_always_on", 0.0, (True, True), True, False),
        ("parentbased_always_off", 1.0, (False, False), True, False),
        ("parentbased_traceidratio", 0.5, (True, False), True, False),
    ],
)
def test_a_rule_samples_as_opentelemetry_s_sampler_of_the_same_name(
    sampler: str, ratio: float, root: tuple[bool, bool], under_sampled: bool, under_unsampled: bool
) -> None:
    rule = SamplingRule.of(sampler, ratio)  # type: ignore[arg-type]
    assert tuple(rule.samples(trace_id, INVALID_SPAN_CONTEXT) for trace_id in (SMALL, LARGE)) == root
    assert rule.samples(LARGE, parent_with(1)) is under_sampled
    assert rule.samples(LARGE, parent_with(0)) is under_unsampled


def no_recorder(trace_id: int) -> trace.Tracer:
    raise AssertionError("a span that is not sampled reached the SDK")


def test_an_unsampled_span_starts_a_trace_and_keeps_the_trace_of_its_parent() -> None:
    tracer = Tracer(SamplingRule.of("parentbased_always_off", 0.0), no_recorder)
    first = tracer.start_span("first").get_span_context()
    assert (first.is_valid, first.trace_flags.sampled, first.trace_flags.random_trace_id) == (True, False, True)
    child = tracer.start_span("child", child_context(NonRecordingSpan(parent_with(0)))).get_span_context()
    assert child.trace_id == TRACE_ID
    assert child.span_id not in {0, SPAN_ID}
    assert not child.trace_flags.random_trace_id


def test_a_sampled_span_is_recorded_with_the_trace_id_that_was_sampled() -> None:
    recorded: list[int] = []

    def record(trace_id: int) -> trace.Tracer:
        recorded.append(trace_id)
        return trace.NoOpTracer()

    tracer = Tracer(SamplingRule.of("always_on", 0.0), record)
    tracer.start_span("root")
    tracer.start_span("child", child_context(NonRecordingSpan(parent_with(0))))
    assert len(recorded) == 2
    assert recorded[1] == TRACE_ID
