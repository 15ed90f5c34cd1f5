"""Open streams: how many, until when, and how they end."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import orjson
import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

from gateway_testing.running import RunGateway, RunningGateway
from parley.ids import new_id
from parley.ratelimit.script import REVOCATIONS_MARKER
from parley.storage.redis import open_redis
from parley_testing import eventually
from parley_testing.backends.shared import SharedBackends
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
    async with asyncio.timeout(8):
        return b"".join([chunk async for chunk in chunks])


async def test_a_user_has_so_many_streams_and_places_come_back(run_gateway: RunGateway) -> None:
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


async def test_a_stream_whose_session_is_revoked_ends_with_a_word(
    gateway: RunningGateway, backends: SharedBackends
) -> None:
    gateway.chat.answer = endless
    session = str(new_id())
    async with (
        open_redis(await backends.redis_url(), timeout=2) as redis,
        streaming(gateway, gateway.bearer(sid=session)) as chunks,
    ):
        await redis.set(f"parley:revoked:{session}", 1, ex=60)
        found = await rest(chunks)
        assert found.endswith(b"data: 1\n\nevent: session_revoked\ndata: {}\n\n")
        again = await gateway.client.get("/api/v1/models", headers=gateway.bearer(sid=session))
        assert (again.status_code, again.json()["code"]) == (401, "session_revoked")
        await eventually(lambda: gateway.chat.open <= 1)


async def test_while_redis_does_not_know_the_revocations_auth_is_asked(
    run_gateway: RunGateway, backends: SharedBackends
) -> None:
    session = str(new_id())
    async with open_redis(await backends.redis_url(), timeout=2) as redis:
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


async def test_draining_lets_turns_end_and_says_goodbye_to_the_rest(run_gateway: RunGateway) -> None:
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
            refused = await gateway.client.get("/api/v1/models", headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (503, "draining")
            assert refused.headers["connection"] == "close"
            assert (await rest(turn)).endswith(b"data: 1\n\n" + goodbye)
        assert await lifecycle.wait_idle(1)


async def test_a_client_that_does_not_read_is_cut_and_its_upstream_with_it(run_gateway: RunGateway) -> None:
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
        await eventually(lambda: gateway.chat.open == 0, within=8)
        writer.close()
        del reader


@contextlib.asynccontextmanager
async def echo_server() -> AsyncIterator[tuple[int, list[ServerConnection]]]:
    seen: list[ServerConnection] = []

    async def echo(socket: ServerConnection) -> None:
        seen.append(socket)
        async for message in socket:
            if message == "close":
                await socket.close(4401, "expired")
                return
            await socket.send(message)

    async with serve(echo, "127.0.0.1", 0, subprotocols=[Subprotocol("parley.v1")], compression=None) as server:
        yield next(iter(server.sockets)).getsockname()[1], seen


async def test_a_websocket_passes_frames_identity_and_close_codes(run_gateway: RunGateway) -> None:
    async with echo_server() as (port, seen), run_gateway(chat_url=f"http://127.0.0.1:{port}") as gateway:
        token = gateway.token()
        protocols = [Subprotocol("parley.v1"), Subprotocol(f"parley.bearer.{token}")]
        url = f"ws://127.0.0.1:{gateway.port}/api/v1/chat/ws"
        async with connect(url, subprotocols=protocols, proxy=None) as socket:
            assert socket.subprotocol == "parley.v1"
            for message in ("hello", b"\x00\x01", "x" * 500_000):
                await socket.send(message)
                assert await socket.recv() == message
            await socket.send("close")
            with pytest.raises(ConnectionClosed):
                await socket.recv()
            assert (socket.close_code, socket.close_reason) == (4401, "expired")
        request = seen[0].request
        assert request is not None
        assert request.headers["authorization"] == f"Bearer {token}"
        assert request.headers["x-forwarded-for"] == "127.0.0.1"


async def test_a_websocket_of_a_wrong_credential_origin_or_path_is_refused(run_gateway: RunGateway) -> None:
    async with echo_server() as (port, seen), run_gateway(chat_url=f"http://127.0.0.1:{port}") as gateway:
        base = f"ws://127.0.0.1:{gateway.port}"
        bad = [Subprotocol("parley.bearer.rubbish")]
        with pytest.raises(InvalidStatus):
            await connect(f"{base}/api/v1/chat/ws", subprotocols=bad, proxy=None)
        with pytest.raises(InvalidStatus):
            await connect(f"{base}/api/v1/chat/ws", origin=Origin("https://evil.example"), proxy=None)
        with pytest.raises(InvalidStatus):
            await connect(f"{base}/api/v1/models", proxy=None)
        assert seen == []


async def test_api_keys_are_exchanged_once_and_wrong_ones_are_remembered(gateway: RunningGateway) -> None:
    keys_answer, asked = gateway.auth.answer, []
    good, bad = ("parley_" + letter * 38 for letter in "ab")
    token = gateway.token(client_id="api-key")

    async def auth(seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
        if seen.target != "/api/v1/auth/token":
            await keys_answer(seen, writer)
            return
        asked.append(bytes(seen.body).decode())
        body = b'{"access_token":"%b","expires_in":900}' % token.encode()
        await (respond(200, body) if good in asked[-1] else respond(400, b'{"error":"invalid_grant"}'))(seen, writer)

    gateway.auth.answer = auth
    for headers in ({"x-api-key": good}, {"authorization": f"Bearer {good}"}):
        answers = await asyncio.gather(*(gateway.client.get("/api/v1/models", headers=headers) for _ in range(5)))
        assert {answer.status_code for answer in answers} == {200}
    assert gateway.chat.journal[-1].header("authorization") == f"Bearer {token}"
    assert gateway.chat.journal[-1].header("x-api-key") is None
    assert len(asked) == 1
    for _ in range(3):
        refused = await gateway.client.get("/api/v1/models", headers={"x-api-key": bad})
        assert (refused.status_code, refused.json()["code"]) == (401, "api_key_invalid")
    assert len(asked) == 2


async def test_answers_are_compressed_when_asked_for_and_streams_never(gateway: RunningGateway) -> None:
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


async def test_browsers_are_told_who_may_call(run_gateway: RunGateway) -> None:
    async with run_gateway(cors_origins="https://app.example") as gateway:
        preflight = {"origin": "https://app.example", "access-control-request-method": "POST"}
        allowed = await gateway.client.options("/api/v1/chat", headers=preflight)
        assert allowed.status_code == 204
        assert allowed.headers["access-control-allow-origin"] == "https://app.example"
        assert {"cache-control", "idempotency-key"} <= set(allowed.headers["access-control-allow-headers"].split(", "))
        refused = await gateway.client.options("/api/v1/chat", headers={**preflight, "origin": "https://evil.example"})
        assert "access-control-allow-origin" not in refused.headers
        answer = await gateway.client.get("/api/v1/models", headers={"origin": "https://app.example"})
        assert answer.status_code == 401
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        assert "x-request-id" in answer.headers["access-control-expose-headers"]
        assert answer.headers["vary"] == "origin"
