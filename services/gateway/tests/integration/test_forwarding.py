"""Requests through a real gateway to a real upstream."""

import asyncio

import pytest

from gateway_testing.running import RunGateway, RunningGateway
from parley_testing.http.scripted_server import RecordedRequest, respond

pytestmark = pytest.mark.integration


async def test_a_request_arrives_with_our_identity_and_comes_back_with_our_headers(gateway: RunningGateway) -> None:
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
    response = await gateway.client.post(path, headers=gateway.bearer())
    assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert gateway.chat.journal + gateway.history.journal == []


async def test_a_method_that_is_not_in_the_table_is_told_which_are(gateway: RunningGateway) -> None:
    response = await gateway.client.put("/api/v1/conversations/abc", headers=gateway.bearer())
    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")
    assert response.headers["allow"] == "DELETE, GET, HEAD, PATCH"


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 401, "credentials_missing"),
        ({"authorization": "Basic YTpi"}, 401, "credentials_missing"),
        ({"authorization": "Bearer rubbish"}, 401, "token_invalid"),
        ({"authorization": "Bearer parley_short"}, 401, "api_key_invalid"),
        ({"authorization": "Bearer a", "x-api-key": "parley_b"}, 400, "ambiguous_credentials"),
    ],
)
async def test_wrong_credentials_are_problems(
    gateway: RunningGateway, headers: dict[str, str], status: int, code: str
) -> None:
    response = await gateway.client.get("/api/v1/models", headers=headers)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers["content-type"] == "application/problem+json"
    assert ("www-authenticate" in response.headers) is (status == 401)
    assert gateway.chat.journal == []


async def test_a_token_in_the_query_string_is_no_credential(gateway: RunningGateway) -> None:
    token = gateway.token()
    response = await gateway.client.get(f"/api/v1/models?access_token={token}")
    assert response.json()["code"] == "credentials_missing"


async def test_expired_tokens_and_missing_scopes_are_told_apart(gateway: RunningGateway) -> None:
    expired = await gateway.client.get("/api/v1/models", headers=gateway.bearer(exp=1000, iat=100))
    assert (expired.status_code, expired.json()["code"]) == (401, "token_expired")
    narrow = await gateway.client.get("/api/v1/conversations", headers=gateway.bearer(scope="chat:write"))
    assert (narrow.status_code, narrow.json()["code"]) == (403, "insufficient_scope")
    assert 'scope="history:read"' in narrow.headers["www-authenticate"]


async def test_a_body_is_passed_on_whole(gateway: RunningGateway) -> None:
    response = await gateway.client.post("/api/v1/chat", json={"message": "Hällo"}, headers=gateway.bearer())
    assert response.status_code == 200
    seen = gateway.chat.journal[-1]
    assert bytes(seen.body) == '{"message":"Hällo"}'.encode()
    assert seen.header("content-type") == "application/json"


async def test_public_routes_need_no_credential_and_pass_none(gateway: RunningGateway) -> None:
    response = await gateway.client.post("/api/v1/auth/token", data={"a": "b"}, headers={"authorization": "Bearer x"})
    assert response.json() == {"service": "auth"}
    assert gateway.auth.journal[-1].header("authorization") is None
    assert response.headers["ratelimit-policy"] == '"address";q=120;w=60'


async def test_too_many_requests_are_refused_with_the_time_to_wait(run_gateway: RunGateway) -> None:
    async with run_gateway(rate_limit_requests=60, rate_limit_burst=3) as gateway:
        headers = gateway.bearer()
        answers = [await gateway.client.get("/api/v1/models", headers=headers) for _ in range(5)]
        assert [a.status_code for a in answers] == [200, 200, 200, 429, 429]
        problem = answers[-1].json()
        assert (problem["code"], problem["error"]["type"]) == ("rate_limited", "rate_limit_error")
        assert answers[-1].headers["retry-after"] == "1"
        assert len(gateway.chat.journal) == 3


async def test_a_streamed_answer_arrives_event_by_event(gateway: RunningGateway) -> None:
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


async def test_an_upstream_that_breaks_a_stream_leaves_a_last_event_and_no_half_one(gateway: RunningGateway) -> None:
    async def cut(_seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        writer.write(_chunk(b'data: 1\n\ndata: {"del'))
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.transport.abort()

    gateway.chat.answer = cut
    response = await gateway.client.post("/api/v1/chat/stream", json={}, headers=gateway.bearer())
    assert response.content == b'data: 1\n\nevent: interrupted\ndata: {"code":"upstream_error"}\n\n'


async def test_a_client_that_leaves_stops_the_upstream_at_once(gateway: RunningGateway) -> None:
    async def silent(_seen: RecordedRequest, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    gateway.chat.answer = silent
    request = asyncio.create_task(gateway.client.post("/api/v1/chat", json={}, headers=gateway.bearer()))
    while not gateway.chat.journal:
        await asyncio.sleep(0.01)
    request.cancel()
    async with asyncio.timeout(10):
        await gateway.chat.journal[-1].gone.wait()


async def test_pages_and_probes_are_answered_here(gateway: RunningGateway) -> None:
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
