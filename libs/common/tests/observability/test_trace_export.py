"""Export of spans: nothing is loaded without a collector, and a failing collector only loses spans."""

import asyncio
import subprocess
import sys
from collections.abc import Sequence

import pytest
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from prometheus_client import CollectorRegistry, Counter

from parley.observability.trace_export import BATCH_SIZE, QUEUE_SIZE, WARNING_INTERVAL, CountingExporter, FixedResource
from parley_testing.http.scripted_server import RecordedRequest, scripted_server
from parley_testing.telemetry.captured_logs import captured_logs
from parley_testing.telemetry.span_collector import SpanCollector
from parley_testing.telemetry.traced_service import ServiceClient, traced_service
from parley_testing.waiting import eventually

LOST_ON_SHUTDOWN = "spans_lost_on_shutdown"
"""Logged when the shutdown stops waiting, after ``FLUSH_TIMEOUT``."""
EXPORTED = {"outcome": "exported"}
HEAVY = ("rich", "opentelemetry.sdk", "opentelemetry.exporter", "google.protobuf", "requests", "urllib3")


def end_spans(client: ServiceClient, count: int) -> None:
    assert client.runtime.tracer is not None
    for _ in range(count):
        client.runtime.tracer.start_span("x").end()


def make_a_batch(client: ServiceClient) -> None:
    """End as many spans as are sent at once."""
    end_spans(client, BATCH_SIZE)


def test_an_untraced_service_does_not_import_the_sdk() -> None:
    program = f"""
import sys, parley.web.app, parley.infrastructure, parley.ratelimit.limiter
import parley.web.server, parley.messaging.rabbit_bus
print([name for name in sys.modules if name.startswith({HEAVY!r})])
import opentelemetry.sdk.metrics
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("disabled", [True, False])
async def test_a_service_without_tracing_has_no_spans_and_no_trace_ids(spans: SpanCollector, disabled: bool) -> None:
    async with traced_service(spans.url if disabled else None, otel_sdk_disabled=disabled) as client:
        logged = (await client.post("/things/1")).json()
    assert "trace_id" not in logged
    assert spans.upstream.journal == []


@pytest.mark.parametrize("sampler", ["parentbased_traceidratio", "traceidratio", "always_off"])
async def test_nothing_is_exported_when_nothing_is_sampled(spans: SpanCollector, sampler: str) -> None:
    async with traced_service(spans.url, otel_traces_sampler=sampler, otel_traces_sampler_arg=0.0) as client:
        logged = (await client.post("/things/1")).json()
    assert len(logged["trace_id"]) == 32
    assert spans.upstream.journal == []


async def test_a_tenth_of_new_traces_is_sampled_at_a_ratio_of_a_tenth(spans: SpanCollector) -> None:
    async with traced_service(spans.url, otel_traces_sampler_arg=0.1) as client:
        await asyncio.gather(*(client.get("/missing") for _ in range(1000)))
    assert 50 < len(spans.spans) < 160


async def test_requests_to_the_collector_have_its_headers_and_no_provider_is_global(spans: SpanCollector) -> None:
    before = trace.get_tracer_provider()
    async with traced_service(spans.url, otel_exporter_otlp_headers="api-key=a%20b") as client:
        await client.get("/missing")
        assert trace.get_tracer_provider() is before
    assert spans.upstream.journal[0].header("api-key") == "a b"
    assert spans.upstream.journal[0].target == "/v1/traces"


async def test_an_unreachable_collector_fails_no_request_and_shutdown_does_not_wait_for_it(
    spans: SpanCollector,
) -> None:
    await spans.upstream.stop()
    async with traced_service(spans.url) as client:
        statuses = {(await client.get("/missing")).status_code for _ in range(100)}
        assert client.runtime.metrics.registry.get_sample_value("trace_spans_total", EXPORTED) == 0
    assert statuses == {404}
    assert LOST_ON_SHUTDOWN in [line["event"] for line in client.logs]


async def test_a_collector_that_does_not_respond_does_not_delay_shutdown() -> None:
    hanging = asyncio.Event()

    async def hang(_seen: RecordedRequest, _writer: asyncio.StreamWriter) -> None:
        hanging.set()
        await asyncio.Event().wait()

    async with scripted_server(hang) as upstream:
        async with traced_service(upstream.url) as client:
            make_a_batch(client)
            await eventually(hanging.is_set)
        assert LOST_ON_SHUTDOWN in [line["event"] for line in client.logs]


async def test_exported_spans_are_counted(spans: SpanCollector) -> None:
    async with traced_service(spans.url) as client:
        registry = client.runtime.metrics.registry
        make_a_batch(client)
        await eventually(lambda: registry.get_sample_value("trace_spans_total", EXPORTED) == BATCH_SIZE)


async def test_dropped_spans_are_counted() -> None:
    hanging, more = asyncio.Event(), 7

    async def hang(_seen: RecordedRequest, _writer: asyncio.StreamWriter) -> None:
        hanging.set()
        await asyncio.Event().wait()

    async with scripted_server(hang) as upstream, traced_service(upstream.url) as client:
        registry = client.runtime.metrics.registry
        make_a_batch(client)
        await eventually(hanging.is_set)
        for _ in range(QUEUE_SIZE // BATCH_SIZE):
            make_a_batch(client)
        assert registry.get_sample_value("trace_spans_total", {"outcome": "dropped"}) == 0
        end_spans(client, more)
        assert registry.get_sample_value("trace_spans_total", {"outcome": "dropped"}) == more


async def test_a_redirect_of_the_collector_counts_as_failure() -> None:
    async def redirect(_seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 308 Moved\r\nLocation: https://elsewhere.invalid/\r\nContent-Length: 0\r\n\r\n")

    async with scripted_server(redirect) as upstream, traced_service(upstream.url) as client:
        registry = client.runtime.metrics.registry
        make_a_batch(client)
        await eventually(lambda: registry.get_sample_value("trace_spans_total", {"outcome": "failed"}) == BATCH_SIZE)


class FailingExporter(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.FAILURE


def test_failures_are_counted_and_logged_once_a_minute() -> None:
    registry, now = CollectorRegistry(), [0.0]
    outcomes = Counter("trace_spans_total", "x", ["outcome"], registry=registry)
    exporter = CountingExporter(FailingExporter(), service="chat", outcomes=outcomes, clock=lambda: now[0])
    span = ReadableSpan("x")
    with captured_logs() as lines:
        for _ in range(10):
            exporter.export([span])
        assert len(lines) == 1
        now[0] = WARNING_INTERVAL
        exporter.export([span])
    assert len(lines) == 2
    assert lines[0]["service"] == "chat"
    assert registry.get_sample_value("trace_spans_total", {"outcome": "failed"}) == 11


def test_the_resource_of_a_service_is_hashed_once_and_is_equal_to_any_other_of_its_attributes() -> None:
    hashed = 0

    class CountedResource(Resource):
        def __hash__(self) -> int:
            nonlocal hashed
            hashed += 1
            return super().__hash__()

    class Fixed(FixedResource, CountedResource):
        pass

    plain = Resource({"service.name": "chat"})
    fixed = Fixed(plain)
    assert {fixed, fixed, plain} == {plain}
    assert hashed == 1
