"""A request is a span: its template, its status, whose child it is, and nothing of what was sent."""

import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import httpx2
import pytest

from parley.ids import pseudonym
from parley_testing.http.scripted_server import respond, scripted_server
from parley_testing.telemetry.span_collector import SpanCollector

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{CALLER}-01", f"00-{TRACE}-{CALLER}-00"
Services = Callable[..., AbstractAsyncContextManager[httpx2.AsyncClient]]


async def test_a_request_is_a_span_named_by_its_template(spans: SpanCollector, service: Services) -> None:
    async with service(spans.url, environment="development") as client:
        await client.post("/things/4711?q=1")
    span = await spans.find("POST /things/{thing_id}")
    assert (span.service, span.kind, span.parent_id, span.failed) == ("test", "SERVER", "", False)
    assert span.attributes == {
        "http.request.method": "POST",
        "url.scheme": "http",
        "http.route": "/things/{thing_id}",
        "http.response.status_code": 200,
        "enduser.pseudo.id": pseudonym("0197-ada"),
    }
    assert span.resource["service.namespace"] == "parley"
    assert span.resource["service.version"] == "7"
    assert span.resource["deployment.environment.name"] == "development"


async def test_nothing_that_was_sent_is_exported(spans: SpanCollector, service: Services) -> None:
    async with service(spans.url) as client:
        await client.post(
            "/things/canary-path?q=canary-query",
            content=b"canary-body",
            headers={"authorization": "Bearer canary-token", "user-agent": "canary-agent", "cookie": "canary-cookie"},
        )
        await client.get("/broken/canary-error")
        await client.request("CANARY-METHOD", "/canary-unmatched")
    await spans.find("GET /broken/{secret}")
    await spans.find("HTTP")
    assert b"canary" not in spans.raw.lower()
    assert b"0197-ada" not in spans.raw


async def test_a_callers_trace_is_continued(spans: SpanCollector, service: Services) -> None:
    async with service(spans.url, otel_traces_sampler_arg=0.0) as client:
        await client.post("/things/1", headers={"traceparent": SAMPLED})
    span = await spans.find("POST /things/{thing_id}")
    assert (span.trace_id, span.parent_id) == (TRACE, CALLER)


async def test_a_caller_that_does_not_sample_is_followed(spans: SpanCollector, service: Services) -> None:
    async with service(spans.url) as client:
        logged = (await client.post("/things/1", headers={"traceparent": UNSAMPLED})).json()
        await client.post("/things/2", headers={"traceparent": SAMPLED})
    assert logged["trace_id"] == TRACE
    await spans.find("POST /things/{thing_id}")


@pytest.mark.parametrize("traceparent", ["", "nonsense", f"00-{'0' * 32}-{CALLER}-01", f"ff-{TRACE}-{CALLER}-01"])
async def test_a_malformed_trace_begins_a_new_one(spans: SpanCollector, service: Services, traceparent: str) -> None:
    async with service(spans.url) as client:
        assert (await client.post("/things/1", headers={"traceparent": traceparent})).status_code == 200
    span = await spans.find("POST /things/{thing_id}")
    assert (span.trace_id != TRACE, span.parent_id) == (True, "")


async def test_log_lines_name_the_span(spans: SpanCollector, service: Services) -> None:
    async with service(spans.url) as client:
        logged = (await client.post("/things/1")).json()
    span = await spans.find("POST /things/{thing_id}")
    assert (logged["trace_id"], logged["span_id"]) == (span.trace_id, span.span_id)


async def test_only_our_own_failures_are_failures(spans: SpanCollector, service: Services) -> None:
    async with service(spans.url) as client:
        await client.get("/missing")
        await client.get("/broken/x")
    refused, broken = await spans.find("GET /missing"), await spans.find("GET /broken/{secret}")
    assert (refused.attributes["http.response.status_code"], refused.failed) == (404, False)
    assert (broken.attributes["http.response.status_code"], broken.failed) == (500, True)
    assert broken.attributes["error.type"] == "500"
    assert broken.events == {}


async def test_probes_are_not_traced(spans: SpanCollector, service: Services) -> None:
    async with service(spans.url) as client:
        await client.get("/ready")
        await client.get("/health")
        await client.get("/missing")
    assert [name for _, name in spans.names()] == ["GET /missing"]


async def test_a_call_to_another_service_is_a_child_that_the_other_is_told_of(
    spans: SpanCollector, service: Services
) -> None:
    async with scripted_server(respond(503)) as other, service(spans.url) as client:
        await client.get("/asking", params={"url": f"{other.url}/conversations/4711?q=canary"})
        told = other.journal[0].header("traceparent")
    asking, call = await spans.find("GET /asking"), await spans.find("GET")
    assert call.under(asking)
    assert (call.kind, call.attributes["http.response.status_code"], call.failed) == ("CLIENT", 503, True)
    assert call.attributes["server.port"] == other.port
    assert told is not None
    assert told.split("-")[1:3] == [call.trace_id, call.span_id]
    assert b"4711" not in spans.raw
    assert b"canary" not in spans.raw
    assert b"hunter2" not in spans.raw


async def test_a_call_that_is_not_answered_ends_its_span(spans: SpanCollector, service: Services) -> None:
    async with scripted_server() as other:
        url = other.url
    async with service(spans.url) as client:
        assert (await client.get("/asking", params={"url": url})).status_code == 500
    call = await spans.find("GET")
    assert (call.failed, call.attributes["error.type"]) == (True, "ConnectError")


async def test_services_of_one_process_keep_their_names(spans: SpanCollector, service: Services) -> None:
    async with service(spans.url, "auth") as auth, service(spans.url, "chat") as chat:
        await auth.get("/missing")
        await chat.get("/missing")
    await spans.find("GET /missing", service="auth")
    await spans.find("GET /missing", service="chat")
    assert logging.getLogger("opentelemetry").handlers == []
