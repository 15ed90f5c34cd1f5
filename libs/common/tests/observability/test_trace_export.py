"""Traces cost nothing when they are off, and a collector that is gone costs nothing but spans."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx2
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from prometheus_client import CollectorRegistry, Counter
from structlog.testing import capture_logs

from parley.observability.trace_export import BATCH_SIZE, QUEUE_SIZE, WARNING_INTERVAL, CountingExporter
from parley.observability.tracing import Tracer
from parley_testing.http.scripted_server import RecordedRequest, scripted_server
from parley_testing.telemetry.span_collector import SpanCollector
from parley_testing.waiting import eventually

Services = Callable[..., AbstractAsyncContextManager[httpx2.AsyncClient]]
IN_TIME = 4.0
BUSY_MACHINE = 20.0
"""Seconds that a hundred requests take at most, unless each one waits for the collector."""
"""Seconds a shutdown may take: less than one batch may."""
HEAVY = ("opentelemetry.sdk", "opentelemetry.exporter", "google.protobuf", "requests", "urllib3")


def make_a_batch(client: httpx2.AsyncClient) -> None:
    """End as many spans as are sent at once."""
    tracer: Tracer = client.app.state.runtime.tracer  # type: ignore[attr-defined]
    for _ in range(BATCH_SIZE):
        tracer.start_span("x").end()


def test_a_service_that_is_not_traced_loads_nothing_of_it() -> None:
    program = f"""
import sys, parley.web.app, parley.infrastructure, parley.ratelimit.limiter
import parley.web.server, parley.messaging.rabbit_bus
print([name for name in sys.modules if name.startswith({HEAVY!r})])
import opentelemetry.sdk.metrics
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("off", [{"endpoint": None}, {"otel_sdk_disabled": True}])
async def test_off_means_no_spans_no_ids_and_no_thread(
    spans: SpanCollector, service: Services, off: dict[str, Any]
) -> None:
    async with service(**{"endpoint": spans.url, **off}) as client:
        logged = (await client.post("/things/1")).json()
    assert "trace_id" not in logged
    assert spans.upstream.journal == []


@pytest.mark.parametrize("sampler", ["parentbased_traceidratio", "traceidratio", "always_off"])
async def test_nothing_is_exported_when_nothing_is_sampled(
    spans: SpanCollector, service: Services, sampler: str
) -> None:
    async with service(spans.url, otel_traces_sampler=sampler, otel_traces_sampler_arg=0.0) as client:
        logged = (await client.post("/things/1")).json()
    assert len(logged["trace_id"]) == 32
    assert spans.upstream.journal == []


async def test_a_tenth_of_new_traces_is_sampled_by_default(spans: SpanCollector, service: Services) -> None:
    async with service(spans.url, otel_traces_sampler_arg=0.1) as client:
        await asyncio.gather(*(client.get("/missing") for _ in range(1000)))
    assert 50 < len(spans.spans) < 160


async def test_the_collector_is_sent_its_headers_and_no_provider_is_global(
    spans: SpanCollector, service: Services
) -> None:
    before = trace.get_tracer_provider()
    async with service(spans.url, otel_exporter_otlp_headers="api-key=a%20b") as client:
        await client.get("/missing")
        assert trace.get_tracer_provider() is before
    assert spans.upstream.journal[0].header("api-key") == "a b"
    assert spans.upstream.journal[0].target == "/v1/traces"


async def test_a_collector_that_is_gone_slows_no_request_and_no_shutdown(
    spans: SpanCollector, service: Services
) -> None:
    await spans.upstream.stop()
    began = time.monotonic()
    async with service(spans.url) as client:
        for _ in range(100):
            assert (await client.get("/missing")).status_code == 404
        answered = time.monotonic() - began
    assert answered < BUSY_MACHINE, "requests wait for the collector"
    assert time.monotonic() - began < answered + IN_TIME


async def test_a_collector_that_never_answers_delays_no_shutdown(service: Services) -> None:
    hanging = asyncio.Event()

    async def hang(_seen: RecordedRequest, _writer: asyncio.StreamWriter) -> None:
        hanging.set()
        await asyncio.Event().wait()

    async with scripted_server(hang) as upstream:
        async with service(upstream.url) as client:
            make_a_batch(client)
            await eventually(hanging.is_set)
            began = time.monotonic()
        assert time.monotonic() - began < IN_TIME


async def test_what_became_of_spans_is_counted(spans: SpanCollector, service: Services) -> None:
    async with service(spans.url) as client:
        registry = client.app.state.runtime.metrics.registry  # type: ignore[attr-defined]
        make_a_batch(client)
        counted = {"outcome": "exported"}
        await eventually(lambda: registry.get_sample_value("trace_spans_total", counted) == BATCH_SIZE)


async def test_spans_that_find_no_room_are_counted(service: Services) -> None:
    hanging, more = asyncio.Event(), 7

    async def hang(_seen: RecordedRequest, _writer: asyncio.StreamWriter) -> None:
        hanging.set()
        await asyncio.Event().wait()

    async with scripted_server(hang) as upstream, service(upstream.url) as client:
        registry = client.app.state.runtime.metrics.registry  # type: ignore[attr-defined]
        make_a_batch(client)
        await eventually(hanging.is_set)
        for _ in range(QUEUE_SIZE // BATCH_SIZE):
            make_a_batch(client)
        assert registry.get_sample_value("trace_spans_total", {"outcome": "dropped"}) == 0
        for _ in range(more):
            client.app.state.runtime.tracer.start_span("x").end()  # type: ignore[attr-defined]
        assert registry.get_sample_value("trace_spans_total", {"outcome": "dropped"}) == more


async def test_a_collector_that_sends_us_elsewhere_was_sent_nothing(service: Services) -> None:
    async def redirect(_seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 308 Moved\r\nLocation: https://elsewhere.invalid/\r\nContent-Length: 0\r\n\r\n")

    async with scripted_server(redirect) as upstream, service(upstream.url) as client:
        registry = client.app.state.runtime.metrics.registry  # type: ignore[attr-defined]
        make_a_batch(client)
        await eventually(lambda: registry.get_sample_value("trace_spans_total", {"outcome": "failed"}) == BATCH_SIZE)


class Broken(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.FAILURE


def test_failures_are_said_once_a_minute_and_counted() -> None:
    registry, now = CollectorRegistry(), [0.0]
    outcomes = Counter("trace_spans_total", "x", ["outcome"], registry=registry)
    watched = CountingExporter(Broken(), service="chat", outcomes=outcomes, clock=lambda: now[0])
    span = ReadableSpan("x")
    with capture_logs() as lines:
        for _ in range(10):
            watched.export([span])
        assert len(lines) == 1
        now[0] = WARNING_INTERVAL
        watched.export([span])
    assert len(lines) == 2
    assert lines[0]["service"] == "chat"
    assert registry.get_sample_value("trace_spans_total", {"outcome": "failed"}) == 11
