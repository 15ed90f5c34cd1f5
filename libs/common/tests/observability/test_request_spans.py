"""Spans of incoming and outgoing requests."""

import logging

import pytest

from parley.ids import pseudonym
from parley_testing.http.scripted_server import respond, scripted_server
from parley_testing.telemetry.span_collector import SpanCollector
from parley_testing.telemetry.traced_service import USER_ID, traced_service

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{CALLER}-01", f"00-{TRACE}-{CALLER}-00"


async def test_a_span_is_named_by_the_route_template(spans: SpanCollector) -> None:
    async with traced_service(spans.url, environment="development") as client:
        await client.post("/things/4711?q=1")
    span = await spans.find("POST /things/{thing_id}")
    assert (span.service, span.kind, span.parent_id, span.failed) == ("test", "SERVER", "", False)
    assert span.attributes == {
        "http.request.method": "POST",
        "url.scheme": "http",
        "http.route": "/things/{thing_id}",
        "http.response.status_code": 200,
        "enduser.pseudo.id": pseudonym(USER_ID),
    }
    assert span.resource["service.namespace"] == "parley"
    assert span.resource["service.version"] == "7"
    assert span.resource["deployment.environment.name"] == "development"


async def test_no_data_of_the_client_is_exported(spans: SpanCollector) -> None:
    async with traced_service(spans.url) as client:
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
    assert USER_ID.encode() not in spans.raw


async def test_the_trace_of_the_caller_is_continued(spans: SpanCollector) -> None:
    async with traced_service(spans.url, otel_traces_sampler_arg=0.0) as client:
        await client.post("/things/1", headers={"traceparent": SAMPLED})
    span = await spans.find("POST /things/{thing_id}")
    assert (span.trace_id, span.parent_id) == (TRACE, CALLER)


async def test_the_sampling_decision_of_the_caller_is_followed(spans: SpanCollector) -> None:
    async with traced_service(spans.url) as client:
        logged = (await client.post("/things/1", headers={"traceparent": UNSAMPLED})).json()
        await client.post("/things/2", headers={"traceparent": SAMPLED})
    assert logged["trace_id"] == TRACE
    await spans.find("POST /things/{thing_id}")


@pytest.mark.parametrize("traceparent", ["", "nonsense", f"00-{'0' * 32}-{CALLER}-01", f"ff-{TRACE}-{CALLER}-01"])
async def test_a_malformed_traceparent_starts_a_new_trace(spans: SpanCollector, traceparent: str) -> None:
    async with traced_service(spans.url) as client:
        assert (await client.post("/things/1", headers={"traceparent": traceparent})).status_code == 200
    span = await spans.find("POST /things/{thing_id}")
    assert (span.trace_id != TRACE, span.parent_id) == (True, "")


async def test_log_lines_contain_the_ids_of_the_span(spans: SpanCollector) -> None:
    async with traced_service(spans.url) as client:
        logged = (await client.post("/things/1")).json()
    span = await spans.find("POST /things/{thing_id}")
    assert (logged["trace_id"], logged["span_id"]) == (span.trace_id, span.span_id)


async def test_only_server_errors_mark_a_span_as_failed(spans: SpanCollector) -> None:
    async with traced_service(spans.url) as client:
        await client.get("/missing")
        await client.get("/broken/x")
    refused, broken = await spans.find("GET /missing"), await spans.find("GET /broken/{secret}")
    assert (refused.attributes["http.response.status_code"], refused.failed) == (404, False)
    assert (broken.attributes["http.response.status_code"], broken.failed) == (500, True)
    assert broken.attributes["error.type"] == "500"
    assert broken.events == {}


async def test_probes_are_not_traced(spans: SpanCollector) -> None:
    async with traced_service(spans.url) as client:
        await client.get("/ready")
        await client.get("/health")
        await client.get("/missing")
    assert [name for _, name in spans.names()] == ["GET /missing"]


async def test_a_call_to_another_service_has_a_child_span_and_sends_its_traceparent(spans: SpanCollector) -> None:
    async with scripted_server(respond(503)) as other, traced_service(spans.url) as client:
        await client.get("/call", params={"url": f"{other.url}/conversations/4711?q=canary"})
        received = other.journal[0].header("traceparent")
    asking, call = await spans.find("GET /call"), await spans.find("GET")
    assert call.under(asking)
    assert (call.kind, call.attributes["http.response.status_code"], call.failed) == ("CLIENT", 503, True)
    assert call.attributes["server.port"] == other.port
    assert received is not None
    assert received.split("-")[1:3] == [call.trace_id, call.span_id]
    assert b"4711" not in spans.raw
    assert b"canary" not in spans.raw
    assert b"hunter2" not in spans.raw


async def test_a_call_that_fails_ends_its_span(spans: SpanCollector) -> None:
    async with scripted_server() as other:
        url = other.url
    async with traced_service(spans.url) as client:
        assert (await client.get("/call", params={"url": url})).status_code == 500
    call = await spans.find("GET")
    assert (call.failed, call.attributes["error.type"]) == (True, "ConnectError")


async def test_services_in_one_process_have_separate_names(spans: SpanCollector) -> None:
    async with traced_service(spans.url, "auth") as auth, traced_service(spans.url, "chat") as chat:
        await auth.get("/missing")
        await chat.get("/missing")
    await spans.find("GET /missing", service="auth")
    await spans.find("GET /missing", service="chat")
    assert logging.getLogger("opentelemetry").handlers == []
