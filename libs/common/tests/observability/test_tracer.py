"""Spans that are not sampled have ids and never reach OpenTelemetry's SDK."""

import re

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from parley.observability.request_sampling import SampledRequest, ids_of, sample_request
from parley.observability.tracer import EndedSpan, SamplingRule, Tracer

TRACE_ID, SPAN_ID = 0xAF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331
SMALL, LARGE = 1 << 64, (1 << 64) - 1
"""Trace ids with the smallest and with the largest lower bits."""


def parent_with(flags: int) -> SpanContext:
    return SpanContext(TRACE_ID, SPAN_ID, is_remote=True, trace_flags=TraceFlags(flags))


UNSAMPLED_PARENT = trace.set_span_in_context(NonRecordingSpan(parent_with(0)), Context())


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
    assert tuple(rule.samples(trace_id, None) for trace_id in (SMALL, LARGE)) == root
    assert rule.samples(LARGE, 0x01) is under_sampled
    assert rule.samples(LARGE, 0x02) is under_unsampled


def no_recorder(trace_id: int) -> trace.Tracer:
    raise AssertionError("a span that is not sampled reached the SDK")


def no_writer(span: EndedSpan) -> None:
    raise AssertionError("a span was written")


def test_an_unsampled_span_starts_a_trace_and_keeps_the_trace_of_its_parent() -> None:
    tracer = Tracer(SamplingRule.of("parentbased_always_off", 0.0), no_recorder, no_writer)
    first = tracer.start_span("first").get_span_context()
    assert (first.is_valid, first.trace_flags.sampled, first.trace_flags.random_trace_id) == (True, False, True)
    child = tracer.start_span("child", UNSAMPLED_PARENT).get_span_context()
    assert child.trace_id == TRACE_ID
    assert child.span_id not in {0, SPAN_ID}
    assert not child.trace_flags.random_trace_id


def test_a_sampled_span_is_recorded_with_the_trace_id_that_was_sampled() -> None:
    recorded: list[int] = []

    def record(trace_id: int) -> trace.Tracer:
        recorded.append(trace_id)
        return trace.NoOpTracer()

    tracer = Tracer(SamplingRule.of("always_on", 0.0), record, no_writer)
    tracer.start_span("root")
    tracer.start_span("child", UNSAMPLED_PARENT)
    assert len(recorded) == 2
    assert recorded[1] == TRACE_ID


@pytest.mark.parametrize("traceparent", [None, "", "nonsense", f"00-{'0' * 32}-{SPAN_ID:016x}-01"])
def test_a_request_without_a_valid_trace_starts_one(traceparent: str | None) -> None:
    unsampled = sample_request(Tracer(SamplingRule.of("always_off", 0.0), no_recorder, no_writer), traceparent)
    assert isinstance(unsampled, str)
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-02", unsampled)
    sampled = sample_request(Tracer(SamplingRule.of("always_on", 0.0), no_recorder, no_writer), traceparent)
    assert isinstance(sampled, SampledRequest)
    assert (sampled.parent, sampled.context.trace_flags, sampled.context.is_valid) == (None, 0x03, True)
    assert sampled.context.trace_id not in {0, TRACE_ID}


@pytest.mark.parametrize("version", ["00", "cc"], ids=["known", "unknown"])
def test_a_request_follows_the_decision_of_its_caller(version: str) -> None:
    tracer = Tracer(SamplingRule.of("parentbased_traceidratio", 1.0), no_recorder, no_writer)
    unsampled = sample_request(tracer, f"{version}-{TRACE_ID:032x}-{SPAN_ID:016x}-02")
    assert isinstance(unsampled, str)
    assert re.fullmatch(f"00-{TRACE_ID:032x}-[0-9a-f]{{16}}-02", unsampled)
    assert ids_of(unsampled)["span_id"] not in {f"{SPAN_ID:016x}", "0" * 16}
    sampled = sample_request(tracer, f"{version}-{TRACE_ID:032x}-{SPAN_ID:016x}-01")
    assert isinstance(sampled, SampledRequest)
    assert sampled.parent is not None
    assert (sampled.parent.span_id, sampled.parent.is_remote) == (SPAN_ID, True)
    assert (sampled.context.trace_id, sampled.context.trace_flags) == (TRACE_ID, 0x01)
