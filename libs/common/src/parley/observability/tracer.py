"""Tracer that decides itself which spans are recorded: OpenTelemetry's SDK takes long to start a span that it drops."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import getrandbits

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, TraceFlags
from opentelemetry.util.types import Attributes

from parley.observability.trace_settings import Sampler

TRACE_ID_BITS, SPAN_ID_BITS = 128, 64
RATIO_BITS = 64
"""Lower bits of a trace id that the ``traceidratio`` samplers compare, as in OpenTelemetry's specification."""
_RATIO_MASK = (1 << RATIO_BITS) - 1
RANDOM_FLAG = int(TraceFlags.RANDOM_TRACE_ID)


@dataclass(frozen=True, slots=True)
class SamplingRule:
    """Decides which spans are recorded, as OpenTelemetry's sampler of the same name does."""

    follows_parent: bool
    """Whether a span with a parent is recorded exactly if the parent is."""
    limit: int
    """Other spans are recorded if the lower ``RATIO_BITS`` of their trace id are below this number."""

    @classmethod
    def of(cls, sampler: Sampler, ratio: float) -> "SamplingRule":
        """Return the rule of a sampler; ``ratio``, from 0 to 1, is read by the ``traceidratio`` samplers alone."""
        share = {"always_on": 1.0, "always_off": 0.0}.get(sampler.removeprefix("parentbased_"), ratio)
        return cls(sampler.startswith("parentbased_"), round(share * (1 << RATIO_BITS)))

    def samples(self, trace_id: int, parent_flags: int | None) -> bool:
        """Return whether a span is recorded; ``parent_flags`` is None for the first span of a trace."""
        if self.follows_parent and parent_flags is not None:
            return bool(parent_flags & TraceFlags.SAMPLED)
        return trace_id & _RATIO_MASK < self.limit


@dataclass(frozen=True, slots=True)
class EndedSpan:
    """A span that is written when it has ended. Times are nanoseconds since 1970."""

    name: str
    kind: SpanKind
    context: SpanContext
    parent: SpanContext | None
    started: int
    ended: int
    attributes: Mapping[str, str | int]
    events: Mapping[str, int]
    """Times of the events by name."""
    has_failed: bool


class Tracer:
    """Starts spans. A span that is not sampled carries only its ids, and the SDK is not called for it."""

    def __init__(
        self, rule: SamplingRule, record: Callable[[int], trace.Tracer], write: Callable[[EndedSpan], None]
    ) -> None:
        """``record`` takes a trace id, and returns the SDK's tracer, which gives the id to its next root span.

        ``write`` exports a span.
        """
        self.rule, self._record, self.write = rule, record, write

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
    ) -> Span:
        """Start a span; its parent is in ``context``, by default in the current one."""
        parent = trace.get_current_span(context).get_span_context()
        trace_id = parent.trace_id if parent.is_valid else new_trace_id()
        if self.rule.samples(trace_id, parent.trace_flags if parent.is_valid else None):
            return self._record(trace_id).start_span(name, context, kind, attributes)
        flags = parent.trace_flags & RANDOM_FLAG if parent.is_valid else RANDOM_FLAG
        return NonRecordingSpan(SpanContext(trace_id, new_span_id(), is_remote=False, trace_flags=TraceFlags(flags)))


def new_trace_id() -> int:
    """Return a random trace id."""
    return _random_id(TRACE_ID_BITS)


def new_span_id() -> int:
    """Return a random span id."""
    return _random_id(SPAN_ID_BITS)


def _random_id(bits: int) -> int:
    """Return a random number other than 0, which is invalid as an id."""
    return getrandbits(bits) or 1  # an id is no secret
