"""Streams: limits per user, and their end on revocation, shutdown and slow clients."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import orjson
import pytest

from gateway_testing.running import RunGateway, RunningGateway
from parley.ids import new_id
from parley.ratelimit.script import REVOCATIONS_MARKER
from parley.storage.redis import open_redis
from parley_testing import eventually
from parley_testing.backends.shared_servers import SharedBackends
from parley_testing.http.scripted_server import RecordedRequest, respond

pytestmark = pytest.mark.integration

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


async def endless(_seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD)
    while True:
        writer.write(b"9\r\ndata: 1\n\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def streaming(gateway: RunningGateway, headers: dict[str, str]) -> AsyncIterator[AsyncIterator[bytes]]:
    async with gateway.client.stream("POST", "/api/v1/chat/stream", json={}, headers=headers) as response:
        assert response.status_code == 200
        chunks = response.aiter_raw()
        assert (await anext(chunks)).startswith(b"data: 1\n\n")
        yield chunks


async def rest(chunks: AsyncIterator[bytes]) -> bytes:
    async with asyncio.timeout(20):
        return b"".join([chunk async for chunk in chunks])


async def test_a_user_may_open_a_limited_number_of_streams_at_once(run_gateway: RunGateway) -> None:
    async with run_gateway(streams_per_user=2) as gateway:
        gateway.chat.answer = endless
        headers = gateway.bearer()
        async with streaming(gateway, headers), streaming(gateway, headers):
            refused = await gateway.client.post("/api/v1/chat/stream", json={}, headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
            async with streaming(gateway, gateway.bearer()):
                pass
        await eventually(lambda: gateway.chat.open == 0)
        async with streaming(gateway, headers):
            pass


async def test_a_stream_of_a_revoked_session_ends_with_a_final_event(
    gateway: RunningGateway, backends: SharedBackends
) -> None:
    gateway.chat.answer = endless
    session = str(new_id())
    async with (
        open_redis(await backends.redis_url(), timeout=20) as redis,
        streaming(gateway, gateway.bearer(sid=session)) as chunks,
    ):
        await redis.set(f"parley:revoked:{session}", 1, ex=60)
        found = await rest(chunks)
        assert found.endswith(b"data: 1\n\nevent: session_revoked\ndata: {}\n\n")
        again = await gateway.client.get("/api/v1/models", headers=gateway.bearer(sid=session))
        assert (again.status_code, again.json()["code"]) == (401, "session_revoked")
        await eventually(lambda: gateway.chat.open <= 1)


async def test_auth_is_asked_while_redis_does_not_know_the_revocations(
    run_gateway: RunGateway, backends: SharedBackends
) -> None:
    session = str(new_id())
    async with open_redis(await backends.redis_url(), timeout=20) as redis:
        await redis.delete(REVOCATIONS_MARKER)
    async with run_gateway(internal_client_secret="s3cret") as gateway:
        keys_answer = gateway.auth.answer

        async def auth(seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
            if seen.target == "/api/v1/auth/token":
                await respond(200, b'{"access_token":"service","expires_in":900}')(seen, writer)
            elif seen.target == "/internal/revocations/check":
                revoked = [sid for sid in orjson.loads(bytes(seen.body))["sessions"] if sid == session]
                await respond(200, orjson.dumps({"revoked_sessions": revoked, "revoked_users": []}))(seen, writer)
            else:
                await keys_answer(seen, writer)

        gateway.auth.answer = auth
        assert (await gateway.client.get("/api/v1/models", headers=gateway.bearer())).status_code == 200
        refused = await gateway.client.get("/api/v1/models", headers=gateway.bearer(sid=session))
        assert (refused.status_code, refused.json()["code"]) == (401, "session_revoked")
        asked = [seen for seen in gateway.auth.journal if seen.target == "/internal/revocations/check"]
        assert asked[-1].header("authorization") == "Bearer service"


async def test_draining_ends_feeds_first_and_turns_at_the_end_of_the_timeout(run_gateway: RunGateway) -> None:
    async with run_gateway(drain_timeout=1.5) as gateway:
        gateway.chat.answer = gateway.history.answer = endless
        headers = gateway.bearer()
        async with (
            streaming(gateway, headers) as turn,
            gateway.client.stream("GET", "/api/v1/events", headers=headers) as feed,
        ):
            lifecycle = gateway.app.state.runtime.lifecycle
            lifecycle.start_draining()
            goodbye = b'event: draining\ndata: {"retry_after_ms":500}\n\n'
            assert (await rest(feed.aiter_raw())).endswith(goodbye)
            await eventually(lambda: lifecycle.open_requests == 1)
            # The connection of the feed is still open: its next request is served, and closes it.
            gateway.chat.answer = respond(200, b"{}")
            served = await gateway.client.get("/api/v1/models", headers=headers)
            assert (served.status_code, served.headers["connection"]) == (200, "close")
            refused = await gateway.client.get("/api/v1/models", headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (503, "draining")
            assert refused.headers["connection"] == "close"
            route = {"http_request_method": "GET", "http_route": "/api/v1/models", "http_response_status_code": "503"}
            counted = gateway.app.state.runtime.metrics.registry.get_sample_value
            assert counted("http_server_request_duration_seconds_count", route) == 1
            assert (await rest(turn)).endswith(b"data: 1\n\n" + goodbye)
        assert await lifecycle.wait_idle(1)


async def test_a_client_that_does_not_read_is_disconnected_with_its_upstream_request(
    run_gateway: RunGateway,
) -> None:
    async with run_gateway(write_timeout=0.5) as gateway:

        async def flood(_seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
            writer.write(HEAD)
            event = b"data: " + b"x" * 60_000 + b"\n\n"
            while True:
                writer.write(b"%x\r\n%b\r\n" % (len(event), event))
                await writer.drain()

        gateway.chat.answer = flood
        token = gateway.bearer()["authorization"].encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=1024)
        writer.write(
            b"POST /api/v1/chat/stream HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nAuthorization: %b\r\n\r\n{}" % token
        )
        await eventually(lambda: gateway.chat.journal)
        await eventually(lambda: gateway.chat.open == 0, within=20)
        writer.close()
        del reader


async def test_responses_are_compressed_on_request_and_streams_never(gateway: RunningGateway) -> None:
    headers = {**gateway.bearer(), "accept-encoding": "gzip"}
    gateway.history.answer = respond(200, b'{"data":"' + b"x" * 5000 + b'"}')
    response = await gateway.client.get("/api/v1/conversations", headers=headers)
    assert response.headers["content-encoding"] == "gzip"
    assert len(response.json()["data"]) == 5000
    gateway.history.answer = respond(200, b"x" * 5000, ("etag", '"7"'))
    assert "content-encoding" not in (await gateway.client.get("/api/v1/conversations/abc", headers=headers)).headers
    gateway.chat.answer = endless
    async with gateway.client.stream("POST", "/api/v1/chat/stream", json={}, headers=headers) as stream:
        assert "content-encoding" not in stream.headers


FEED = b"GET /api/v1/events HTTP/1.1\r\nHost: a\r\nAuthorization: %b\r\n\r\n"
HANDSHAKE = (
    b"GET /api/v1/chat/ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


async def test_a_websocket_handshake_behind_an_open_stream_is_refused_and_ends_both(gateway: RunningGateway) -> None:
    gateway.history.answer = endless
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(FEED % gateway.bearer()["authorization"].encode())
    await reader.readuntil(b"data: 1\n\n")
    writer.write(HANDSHAKE)
    async with asyncio.timeout(10):
        assert b"HTTP/1.1" not in await reader.read()
    writer.close()
    await eventually(lambda: gateway.app.state.runtime.lifecycle.open_requests == 0)
    await eventually(lambda: gateway.history.open == 0)
