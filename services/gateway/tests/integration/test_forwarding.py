"""Requests through a running gateway to its services, and the responses."""

import asyncio

import pytest

from gateway_testing.running import RunGateway, RunningGateway
from parley_testing import eventually
from parley_testing.http.scripted_server import RecordedRequest, respond

pytestmark = pytest.mark.integration


async def test_identity_and_gateway_headers_are_set_in_both_directions(gateway: RunningGateway) -> None:
    gateway.chat.answer = respond(200, b'{"data":[]}', ("server", "secret"), ("x-turn-id", "t1"), ("etag", '"7"'))
    headers = {
        **gateway.bearer(),
        "x-request-id": "mine-1",
        "x-user-id": "root",
        "X_User_Id": "root",
        "x-custom": "yes",
    }
    headers["cache-control"] = "no-store"
    response = await gateway.client.get("/api/v1/models?a=b%20c", headers=headers)
    assert (response.status_code, response.json()) == (200, {"data": []})
    seen = gateway.chat.journal[-1]
    assert (seen.method, seen.target) == ("GET", "/api/v1/models?a=b%20c")
    assert seen.header("authorization") == headers["authorization"]
    assert seen.header("x-request-id") == response.headers["x-request-id"] == "mine-1"
    assert seen.header("x-forwarded-for") == "127.0.0.1"
    assert seen.header("x-custom") == "yes"
    assert seen.header("cache-control") == "no-store"
    assert seen.header("via") == "1.1 parley"
    assert seen.header("host") == f"127.0.0.1:{gateway.chat.port}"
    assert not [name for name, value in seen.headers if value == "root"]
    assert response.headers["ratelimit-policy"] == '"user";q=600;w=60'
    assert response.headers["ratelimit"] == '"user";r=99;t=1'
    assert response.headers["x-ratelimit-remaining-requests"] == "99"
    assert float(response.headers["x-process-time"]) >= 0
    assert response.headers["x-turn-id"] == "t1"
    assert "server" not in response.headers


@pytest.mark.parametrize(
    "path", ["/internal/revocations/check", "/metrics", "/status", "/api/v1/nothing", "/api/v1/chat/", "//api/v1/chat"]
)
async def test_a_path_that_is_not_in_the_table_reaches_no_service(gateway: RunningGateway, path: str) -> None:
    response = await gateway.client.post(f"http://127.0.0.1:{gateway.port}{path}", headers=gateway.bearer())
    assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert gateway.chat.journal + gateway.history.journal == []


async def test_an_unsupported_method_is_rejected_with_the_allowed_ones(gateway: RunningGateway) -> None:
    response = await gateway.client.request("PROPFIND", "/api/v1/conversations/abc", headers=gateway.bearer())
    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")
    assert response.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"


async def test_a_body_is_forwarded_unchanged(gateway: RunningGateway) -> None:
    response = await gateway.client.post("/api/v1/chat", json={"message": "Hällo"}, headers=gateway.bearer())
    assert response.status_code == 200
    seen = gateway.chat.journal[-1]
    assert bytes(seen.body) == '{"message":"Hällo"}'.encode()
    assert seen.header("content-type") == "application/json"


async def test_a_streamed_response_arrives_event_by_event(gateway: RunningGateway) -> None:
    more = asyncio.Event()

    async def stream(_seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        writer.write(_chunk(b"data: 1\n\n"))
        await more.wait()
        writer.write(_chunk(b"data: 2\n\n") + b"0\r\n\r\n")

    gateway.chat.answer = stream
    async with gateway.client.stream("POST", "/api/v1/chat/stream", json={}, headers=gateway.bearer()) as response:
        chunks = response.aiter_raw()
        assert await anext(chunks) == b"data: 1\n\n"
        more.set()
        assert b"".join([chunk async for chunk in chunks]) == b"data: 2\n\n"
    assert response.headers["x-accel-buffering"] == "no"


async def test_an_interrupted_stream_ends_with_a_final_event_and_no_partial_one(gateway: RunningGateway) -> None:
    async def cut(_seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        writer.write(_chunk(b'data: 1\n\ndata: {"del'))
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.transport.abort()

    gateway.chat.answer = cut
    response = await gateway.client.post("/api/v1/chat/stream", json={}, headers=gateway.bearer())
    assert response.content == b'data: 1\n\nevent: interrupted\ndata: {"code":"upstream_error"}\n\n'


async def test_a_disconnect_cancels_the_upstream_request(gateway: RunningGateway) -> None:
    async def silent(_seen: RecordedRequest, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    gateway.chat.answer = silent
    request = asyncio.create_task(gateway.client.post("/api/v1/chat", json={}, headers=gateway.bearer()))
    await eventually(lambda: gateway.chat.journal)
    request.cancel()
    async with asyncio.timeout(10):
        await gateway.chat.journal[-1].gone.wait()


async def test_pages_and_probes_need_no_service(run_gateway: RunGateway) -> None:
    async with run_gateway(anonymous_rate_limit=100_000) as gateway:
        for path in (
            "/health",
            "/ready",
            "/docs",
            "/redoc",
            "/docs/errors",
            "/openapi.json",
            "/docs/static/swagger-ui-bundle.js",
        ):
            response = await gateway.client.get(path)
            assert response.status_code == 200, path
            assert response.headers["x-content-type-options"] == "nosniff"
        assert (await gateway.client.get("/health")).json()["service"] == "gateway"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)
