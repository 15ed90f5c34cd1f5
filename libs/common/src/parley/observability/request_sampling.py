"""Sampling of incoming requests before anything of a span is built."""

import re
from dataclasses import dataclass

from opentelemetry.trace import SpanContext, TraceFlags, get_current_span

from parley.observability.tracer import RANDOM_FLAG, Tracer, new_span_id, new_trace_id
from parley.observability.tracing import extract_context

# OpenTelemetry's parser reads any other value.
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")


@dataclass(frozen=True, slots=True)
class SampledRequest:
    """A request whose span is recorded: the ids of its span, and of the caller's."""

    context: SpanContext
    parent: SpanContext | None

    def child(self) -> SpanContext:
        """Return the ids of a new span below the request's span."""
        return _sampled(self.context.trace_id, self.context.trace_flags)


def sample_request(tracer: Tracer, traceparent: str | None) -> SampledRequest | str:
    """Return a request whose span is recorded, in the trace of a valid ``traceparent`` or in a new one.

    Otherwise return its own ``traceparent``, which has the ids for logs and for other services.
    """
    parent = _parse(traceparent) if traceparent else None
    if parent is None:
        trace_id, flags = new_trace_id(), RANDOM_FLAG
    else:
        trace_id, _, flags = parent
    if not tracer.rule.samples(trace_id, None if parent is None else flags):
        return f"00-{trace_id:032x}-{new_span_id():016x}-{flags & RANDOM_FLAG:02x}"
    remote = None if parent is None else SpanContext(*parent[:2], is_remote=True, trace_flags=TraceFlags(flags))
    return SampledRequest(_sampled(trace_id, flags), remote)


def ids_of(traceparent: str) -> dict[str, str]:
    """Return the log fields of a ``traceparent``."""
    return {"trace_id": traceparent[3:35], "span_id": traceparent[36:52]}


def _sampled(trace_id: int, flags: int) -> SpanContext:
    flags = TraceFlags.SAMPLED | flags & RANDOM_FLAG
    return SpanContext(trace_id, new_span_id(), is_remote=False, trace_flags=TraceFlags(flags))


def _parse(traceparent: str) -> tuple[int, int, int] | None:
    """Return the trace id, span id and flags of a ``traceparent``; None if it is malformed."""
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is not None:
        return int(found[1], 16), int(found[2], 16), int(found[3], 16)
    context = get_current_span(extract_context(traceparent)).get_span_context()
    return (context.trace_id, context.span_id, int(context.trace_flags)) if context.is_valid else None
