"""Traces: the server span of a request, the client span of its upstream request, and the context for the service."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import orjson
import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from gateway_testing.running import RunGateway, RunningGateway
from parley_testing.http.scripted_server import RecordedRequest, respond
from parley_testing.telemetry.span_collector import SpanCollector, run_collector

pytestmark = pytest.mark.integration

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{CALLER}-01", f"00-{TRACE}-{CALLER}-00"
CONVERSATION = "/api/v1/conversations/01a200aa-0000-7000-8000-000000000000"
TEMPLATE = "/api/v1/conversations/{id}"


@pytest.fixture
async def spans() -> AsyncIterator[SpanCollector]:
    async with run_collector() as running:
        yield running


@contextlib.asynccontextmanager
async def traced(run_gateway: RunGateway, spans: SpanCollector, **settings: object) -> AsyncIterator[RunningGateway]:
    usual = {"otel_exporter_otlp_endpoint": spans.url, "otel_traces_sampler_arg": 1.0}
    async with run_gateway(**{**usual, **settings}) as gateway:
        yield gateway


async def test_the_client_span_is_a_child_of_the_server_span(run_gateway: RunGateway, spans: SpanCollector) -> None:
    async with traced(run_gateway, spans) as gateway:
        gateway.history.answer = respond(404)
        await gateway.client.get(CONVERSATION, headers={**gateway.bearer(), "traceparent": SAMPLED})
        told = gateway.history.journal[0].header("traceparent") or ""
    own = await spans.find(f"GET {TEMPLATE}", kind="SERVER")
    asked = await spans.find(f"GET {TEMPLATE}", kind="CLIENT")
    assert (own.service, own.trace_id, own.parent_id) == ("gateway", TRACE, CALLER)
    assert asked.under(own)
    assert told.split("-")[1:3] == [asked.trace_id, asked.span_id]
    assert own.attributes["http.route"] == asked.attributes["url.template"] == TEMPLATE
    assert (own.attributes["http.response.status_code"], own.failed) == (404, False)
    assert (asked.attributes["http.response.status_code"], asked.failed) == (404, True)
    assert asked.attributes["server.port"] == gateway.history.port
    assert "response head" in asked.events
    assert len(own.attributes["enduser.pseudo.id"]) == 12


async def test_no_request_content_is_exported(run_gateway: RunGateway, spans: SpanCollector) -> None:
    async with traced(run_gateway, spans) as gateway:
        headers = {**gateway.bearer(), "user-agent": "canary-agent", "cookie": "canary=1"}
        await gateway.client.post("/api/v1/chat?q=canary-query", json={"message": "canary-prompt"}, headers=headers)
        await gateway.client.get("/api/v1/conversations/canary-id", headers=headers)
        await gateway.client.get("/canary-unmatched")
        token = headers["authorization"].encode()
    await spans.find("GET", kind="SERVER")
    assert b"canary" not in spans.raw
    assert token[-30:] not in spans.raw


async def test_retries_are_counted_in_one_span(run_gateway: RunGateway, spans: SpanCollector) -> None:
    async with traced(run_gateway, spans) as gateway:

        async def once_broken(seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
            if len(gateway.history.journal) == 1:
                writer.transport.abort()
            else:
                await respond()(seen, writer)

        gateway.history.answer = once_broken
        response = await gateway.client.get(CONVERSATION, headers=gateway.bearer())
        assert (response.status_code, len(gateway.history.journal)) == (200, 2)
    asked = await spans.find(f"GET {TEMPLATE}", kind="CLIENT")
    assert (asked.attributes["http.request.resend_count"], asked.failed) == (1, False)


async def test_a_service_that_does_not_answer_is_a_failed_span(run_gateway: RunGateway, spans: SpanCollector) -> None:
    async with traced(run_gateway, spans) as gateway:
        await gateway.chat.stop()
        response = await gateway.client.get("/api/v1/models", headers=gateway.bearer())
        assert response.status_code == 503
    own = await spans.find("GET /api/v1/models", kind="SERVER")
    asked = await spans.find("GET /api/v1/models", kind="CLIENT")
    assert (own.failed, own.attributes["error.type"]) == (True, "503")
    assert (asked.failed, asked.attributes["error.type"]) == (True, "no_answer")


async def test_the_access_log_names_the_span(
    run_gateway: RunGateway, spans: SpanCollector, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    async with traced(run_gateway, spans, log_level="info") as gateway:
        await gateway.client.get(CONVERSATION, headers=gateway.bearer())
    lines = [orjson.loads(line) for line in capfdbinary.readouterr().out.splitlines() if line.startswith(b"{")]
    (line,) = [line for line in lines if line.get("route") == TEMPLATE]
    own = await spans.find(f"GET {TEMPLATE}", kind="SERVER")
    assert (line["trace_id"], line["span_id"]) == (own.trace_id, own.span_id)


async def test_an_unsampled_trace_is_continued_without_spans(run_gateway: RunGateway, spans: SpanCollector) -> None:
    async with traced(run_gateway, spans) as gateway:
        await gateway.client.get(CONVERSATION, headers={**gateway.bearer(), "traceparent": UNSAMPLED})
        told = gateway.history.journal[0].header("traceparent") or ""
    assert told.startswith(f"00-{TRACE}-")
    assert int(told[-2:], 16) & 1 == 0
    assert spans.names() == []


async def test_without_tracing_only_the_clients_context_is_forwarded(gateway: RunningGateway) -> None:
    await gateway.client.get(CONVERSATION, headers={**gateway.bearer(), "traceparent": SAMPLED})
    await gateway.client.get(CONVERSATION, headers={**gateway.bearer(), "traceparent": "nonsense"})
    await gateway.client.get(CONVERSATION, headers=gateway.bearer())
    assert [seen.header("traceparent") for seen in gateway.history.journal] == [SAMPLED, None, None]


async def test_pages_are_traced_and_probes_are_not(run_gateway: RunGateway, spans: SpanCollector) -> None:
    async with traced(run_gateway, spans) as gateway:
        await gateway.client.get("/ready")
        await gateway.client.get("/openapi.json")
    assert spans.names() == [("gateway", "GET")]


async def test_a_websocket_is_one_span_while_it_is_open(run_gateway: RunGateway, spans: SpanCollector) -> None:
    told: list[str] = []

    async def chat(socket: ServerConnection) -> None:
        assert socket.request is not None
        told.append(socket.request.headers["traceparent"])
        async for message in socket:
            await socket.send(message)

    async with serve(chat, "127.0.0.1", 0, subprotocols=[Subprotocol("parley.v1")], compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with traced(run_gateway, spans, chat_url=f"http://127.0.0.1:{port}") as gateway:
            url = f"ws://127.0.0.1:{gateway.port}/api/v1/chat/ws"
            protocols = [Subprotocol("parley.v1")]
            async with connect(url, subprotocols=protocols, additional_headers=gateway.bearer(), proxy=None) as socket:
                frame = '{"type":"canary"}'
                await socket.send(frame)
                assert await socket.recv() == frame
    own = await spans.find("GET /api/v1/chat/ws", kind="SERVER")
    asked = await spans.find("GET /api/v1/chat/ws", kind="CLIENT")
    assert asked.under(own)
    assert own.attributes["http.response.status_code"] == 101
    assert told[0].split("-")[1:3] == [asked.trace_id, asked.span_id]
    assert b"canary" not in spans.raw
