"""Export of spans to a collector with OpenTelemetry's SDK, in batches from a separate thread.

A collector that is unreachable, slow or failing loses spans and causes one log line a minute. It never delays requests
or shutdown.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import opentelemetry.trace
import requests
import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanLimits, TracerProvider, sampling
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Status, StatusCode
from prometheus_client import Counter

from parley.observability.metrics import Metrics
from parley.observability.trace_settings import TraceSettings, parse_pairs
from parley.observability.tracer import EndedSpan, SamplingRule, Tracer
from parley.process.timeouts import at_most

log = structlog.get_logger()

QUEUE_SIZE = 2048
"""Maximum number of ended spans that wait to be sent; a full queue drops its oldest span."""
BATCH_SIZE = 512
"""Maximum number of spans in one request to the collector."""
SEND_INTERVAL = 2.0
"""Seconds after which an incomplete batch is sent."""
EXPORT_TIMEOUT = 5.0
"""Seconds to send one batch, including retries."""
FLUSH_TIMEOUT = 2.0
"""Seconds to send the remaining spans on shutdown."""
WARNING_INTERVAL = 60.0
"""Seconds between two warnings about spans that were not sent."""
FAILED, UNSET = Status(StatusCode.ERROR), Status(StatusCode.UNSET)
LIMITS = SpanLimits(max_span_attributes=64, max_events=32, max_links=8, max_span_attribute_length=256)


class TraceExporter:
    """Sends the spans of one service to the collector while the context is open; yields the tracer."""

    def __init__(
        self, settings: TraceSettings, *, service: str, version: str, environment: str, metrics: Metrics
    ) -> None:
        """Configure the export without connecting to the collector."""
        self._service, self._version = service, version
        outcomes = Counter("trace_spans_total", "Ended spans, by outcome.", ["outcome"], registry=metrics.registry)
        self._exporter = _otlp(settings)
        self._rule = SamplingRule.of(settings.otel_traces_sampler, settings.otel_traces_sampler_arg)
        self._ids = GivenTraceIds()
        # Not the global provider: services that share a process have providers of their own.
        self._provider = TracerProvider(
            sampler=sampling.ALWAYS_ON,  # `Tracer` has already applied the sampling rule
            id_generator=self._ids,
            resource=_resource(settings, service=service, version=version, environment=environment),
            shutdown_on_exit=False,
            span_limits=LIMITS,
        )
        exporter = CountingExporter(self._exporter, service=service, outcomes=outcomes)
        self._processor = CountingBatchProcessor(exporter, outcomes.labels("dropped"))
        self._provider.add_span_processor(self._processor)

    async def __aenter__(self) -> Tracer:
        recorder = self._provider.get_tracer("parley", self._version)

        def record(trace_id: int) -> opentelemetry.trace.Tracer:
            self._ids.next_trace_id = trace_id
            return recorder

        scope = InstrumentationScope("parley", self._version)

        def write(span: EndedSpan) -> None:
            self._processor.on_end(_readable(span, self._provider.resource, scope))

        return Tracer(self._rule, record, write)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Send the remaining spans within ``FLUSH_TIMEOUT``."""
        loop, flushed = asyncio.get_running_loop(), asyncio.Event()

        def flush() -> None:
            self._provider.shutdown()
            with contextlib.suppress(RuntimeError):  # the event loop is closed
                loop.call_soon_threadsafe(flushed.set)

        # A daemon thread, because the interpreter does not wait for it on exit.
        threading.Thread(target=flush, name="flush traces", daemon=True).start()
        async with at_most(FLUSH_TIMEOUT) as wait:
            await flushed.wait()
        if wait.expired:
            # Interrupts the delay before a retry.
            self._exporter.shutdown()  # type: ignore[no-untyped-call]
            log.warning("spans_lost_on_shutdown", service=self._service)


def _readable(span: EndedSpan, resource: Resource, scope: InstrumentationScope) -> ReadableSpan:
    """Return a span for the SDK. A span that the SDK itself starts and ends takes ten times as long."""
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=resource,
        attributes=span.attributes,
        events=[Event(name, timestamp=at) for name, at in span.events.items()],
        kind=span.kind,
        status=FAILED if span.has_failed else UNSET,
        start_time=span.started,
        end_time=span.ended,
        instrumentation_scope=scope,
    )


class GivenTraceIds(RandomIdGenerator):
    """Trace ids that were chosen before the span was sampled."""

    next_trace_id = 0

    def generate_trace_id(self) -> int:
        """Return the chosen id."""
        return self.next_trace_id


class CountingBatchProcessor(BatchSpanProcessor):
    """Queue of ended spans that counts the dropped ones."""

    def __init__(self, exporter: "CountingExporter", dropped: Counter) -> None:
        super().__init__(exporter, QUEUE_SIZE, SEND_INTERVAL * 1000, BATCH_SIZE, EXPORT_TIMEOUT * 1000)
        self._counting_exporter, self._dropped = exporter, dropped
        self._ended = self._lost = 0

    def on_end(self, span: ReadableSpan) -> None:
        """Add a span to the queue; a full queue drops its oldest span."""
        super().on_end(span)
        if span.context is None or not span.context.trace_flags.sampled:
            return
        self._ended += 1
        if self._ended - self._lost - self._counting_exporter.received > QUEUE_SIZE:
            self._lost += 1
            self._dropped.inc()


class CountingExporter(SpanExporter):
    """Exporter wrapper that counts outcomes and logs failures at most once a minute."""

    received = 0
    """Total number of spans passed to ``export``."""

    def __init__(
        self,
        exporter: SpanExporter,
        *,
        service: str,
        outcomes: Counter,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Use ``service`` in log lines, because the export thread has no log context."""
        self._exporter, self._service, self._clock = exporter, service, clock
        self._exported, self._failed = (outcomes.labels(outcome) for outcome in ("exported", "failed"))
        self._silent_until = float("-inf")

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans; those that cannot be sent are lost."""
        self.received += len(spans)
        result = self._exporter.export(spans)
        sent = result is SpanExportResult.SUCCESS
        (self._exported if sent else self._failed).inc(len(spans))
        if not sent and self._clock() >= self._silent_until:
            self._silent_until = self._clock() + WARNING_INTERVAL
            log.warning("spans_not_sent", service=self._service, spans=len(spans))
        return result

    def shutdown(self) -> None:
        """Stop sending."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Send the spans that the exporter holds."""
        return self._exporter.force_flush(timeout_millis)


def _otlp(settings: TraceSettings) -> OTLPSpanExporter:
    session = requests.Session()
    session.trust_env = False  # no environment proxy and no .netrc, as in all clients of Parley
    session.hooks["response"].append(_reject_redirect)
    certificate = settings.otel_exporter_otlp_certificate
    return OTLPSpanExporter(
        endpoint=settings.traces_url(),
        headers=dict(settings.collector_headers()),
        certificate_file=str(certificate) if certificate else None,
        timeout=EXPORT_TIMEOUT,
        session=session,
    )


def _reject_redirect(response: requests.Response, *_: Any, **__: Any) -> None:
    """Raise for a redirect, which the exporter would count as success without following it."""
    if response.is_redirect:
        response.close()  # otherwise the unread response keeps its connection
        raise requests.HTTPError("the collector responded with a redirect")


class FixedResource(Resource):
    """Resource that stores its hash. OpenTelemetry's exporter asks for the hash with every span."""

    def __init__(self, found: Resource) -> None:
        super().__init__(found.attributes, found.schema_url)
        self._hash = super().__hash__()

    def __hash__(self) -> int:
        return self._hash


def _resource(settings: TraceSettings, *, service: str, version: str, environment: str) -> Resource:
    own: dict[str, Any] = {"service.name": service, "service.namespace": "parley", "service.version": version}
    default = {"deployment.environment.name": environment}
    return FixedResource(Resource.create({**default, **parse_pairs(settings.otel_resource_attributes), **own}))
