"""Sending spans to a collector, with OpenTelemetry's SDK: in batches, from a thread of its own.

A collector that is gone, slow or angry costs spans and one line a minute; never a request, never a shutdown.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import requests
import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider, sampling
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Tracer
from prometheus_client import Counter

from parley.observability.metrics import Metrics
from parley.observability.trace_settings import TraceSettings, parse_pairs

log = structlog.get_logger()

QUEUE_SIZE, BATCH_SIZE = 2048, 512
"""Ended spans that wait here at most (the oldest are dropped), and that are sent at once."""
SEND_INTERVAL = 2.0
"""Seconds after which fewer than a batch are sent."""
EXPORT_TIMEOUT = 5.0
FLUSH_TIMEOUT = 2.0
"""Seconds for one batch, with its retries, and for what is left when the service stops."""
WARNING_INTERVAL = 60.0
LIMITS = SpanLimits(max_span_attributes=64, max_events=32, max_links=8, max_span_attribute_length=256)


class TraceExporter:
    """The way of one service's spans to the collector while it is entered; yields the tracer."""

    def __init__(
        self, settings: TraceSettings, *, service: str, version: str, environment: str, metrics: Metrics
    ) -> None:
        """Prepare everything; the collector is not asked for anything yet."""
        self._service, self._version = service, version
        outcomes = Counter(
            "trace_spans_total", "Spans, by what became of them.", ["outcome"], registry=metrics.registry
        )
        self._exporter = _otlp(settings)
        # No provider of the whole process: several services may share it, each with its own name.
        self._provider = TracerProvider(
            sampler=_sampler(settings),
            resource=_resource(settings, service=service, version=version, environment=environment),
            shutdown_on_exit=False,
            span_limits=LIMITS,
        )
        watched = CountingExporter(self._exporter, service=service, outcomes=outcomes)
        self._provider.add_span_processor(CountingBatchProcessor(watched, outcomes.labels("dropped")))

    async def __aenter__(self) -> Tracer:
        return self._provider.get_tracer("parley", self._version)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Send what is left, as far as that goes in time."""
        loop, flushed = asyncio.get_running_loop(), asyncio.Event()

        def flush() -> None:
            self._provider.shutdown()
            with contextlib.suppress(RuntimeError):  # the loop did not wait for us
                loop.call_soon_threadsafe(flushed.set)

        # A thread of our own, because nothing waits for a daemon at the end of the process.
        threading.Thread(target=flush, name="flush traces", daemon=True).start()
        try:
            async with asyncio.timeout(FLUSH_TIMEOUT):
                await flushed.wait()
        except TimeoutError:
            # This wakes it from the pause before a retry.
            self._exporter.shutdown()  # type: ignore[no-untyped-call]
            log.warning("spans not sent before the end", service=self._service)


class CountingBatchProcessor(BatchSpanProcessor):
    """The queue of ended spans, which says how many it had no room for."""

    def __init__(self, exporter: "CountingExporter", dropped: Counter) -> None:
        """Take where batches go, and what counts the spans that are in none."""
        super().__init__(exporter, QUEUE_SIZE, SEND_INTERVAL * 1000, BATCH_SIZE, EXPORT_TIMEOUT * 1000)
        self._watched, self._dropped = exporter, dropped
        self._ended = self._lost = 0

    def on_end(self, span: ReadableSpan) -> None:
        """Let a span wait; the oldest goes when too many do."""
        super().on_end(span)
        if span.context is None or not span.context.trace_flags.sampled:
            return
        self._ended += 1
        if self._ended - self._lost - self._watched.taken > QUEUE_SIZE:
            self._lost += 1
            self._dropped.inc()


class CountingExporter(SpanExporter):
    """Another exporter, whose outcomes are counted, and whose failures are said once a minute."""

    taken = 0
    """How many spans it was ever given."""

    def __init__(
        self,
        exporter: SpanExporter,
        *,
        service: str,
        outcomes: Counter,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the exporter, and the service for log lines: its thread has no context of its own."""
        self._exporter, self._service, self._clock = exporter, service, clock
        self._exported, self._failed = (outcomes.labels(outcome) for outcome in ("exported", "failed"))
        self._silent_until = float("-inf")

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans; those that cannot be sent are gone."""
        self.taken += len(spans)
        result = self._exporter.export(spans)
        good = result is SpanExportResult.SUCCESS
        (self._exported if good else self._failed).inc(len(spans))
        if not good and self._clock() >= self._silent_until:
            self._silent_until = self._clock() + WARNING_INTERVAL
            log.warning("spans not sent", service=self._service, spans=len(spans))
        return result

    def shutdown(self) -> None:
        """Send nothing more."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Keep nothing back."""
        return self._exporter.force_flush(timeout_millis)


def _otlp(settings: TraceSettings) -> OTLPSpanExporter:
    session = requests.Session()
    session.trust_env = False  # no proxy and no .netrc: as all our calls
    session.hooks["response"].append(_refuse_redirect)
    certificate = settings.otel_exporter_otlp_certificate
    return OTLPSpanExporter(
        endpoint=settings.traces_url(),
        headers=dict(settings.collector_headers()),
        certificate_file=str(certificate) if certificate else None,
        timeout=EXPORT_TIMEOUT,
        session=session,
    )


def _refuse_redirect(response: requests.Response, *_: Any, **__: Any) -> None:
    """Raise for an answer that sends us elsewhere: nobody goes there, and the exporter would call it a success."""
    if response.is_redirect:
        response.close()  # nobody reads it, and it would keep its connection
        raise requests.HTTPError("redirected")


def _sampler(settings: TraceSettings) -> sampling.Sampler:
    ratio = sampling.TraceIdRatioBased(settings.otel_traces_sampler_arg)
    known: dict[str, sampling.Sampler] = {
        "always_on": sampling.ALWAYS_ON,
        "always_off": sampling.ALWAYS_OFF,
        "traceidratio": ratio,
    }
    name = settings.otel_traces_sampler
    root = known[name.removeprefix("parentbased_")]
    return sampling.ParentBased(root) if name.startswith("parentbased_") else root


def _resource(settings: TraceSettings, *, service: str, version: str, environment: str) -> Resource:
    own: dict[str, Any] = {"service.name": service, "service.namespace": "parley", "service.version": version}
    default = {"deployment.environment.name": environment}
    return Resource.create({**default, **parse_pairs(settings.otel_resource_attributes), **own})
