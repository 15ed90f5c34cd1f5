"""Open streams: how many, until when, and how they end."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

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
async def streaming(world: Any, headers: dict[str, str]) -> AsyncIterator[AsyncIterator[bytes]]:
    async with world.client.stream("POST", "/api/v1/chat/stream", json={}, headers=headers) as response:
        assert response.status_code == 200
        chunks = response.aiter_raw()
        assert (await anext(chunks)).startswith(b"data: 1\n\n")
        yield chunks


async def rest(chunks: AsyncIterator[bytes]) -> bytes:
    async with asyncio.timeout(8):
        return b"".join([chunk async for chunk in chunks])


async def test_a_user_has_so_many_streams_and_places_come_back(worlds: Any) -> None:
    async with worlds(streams_per_user=2) as world:
        world.chat.answer = endless
        headers = world.bearer()
        async with streaming(world, headers), streaming(world, headers):
            refused = await world.client.post("/api/v1/chat/stream", json={}, headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
            async with streaming(world, world.bearer()):
                pass
        await eventually(lambda: world.chat.open == 0)
        async with streaming(world, headers):
            pass


async def test_a_stream_whose_session_is_revoked_ends_with_a_word(world: Any, backends: SharedBackends) -> None:
    world.chat.answer = endless
    session = str(new_id())
    async with (
        open_redis(await backends.redis_url(), timeout=2) as redis,
        streaming(world, world.bearer(sid=session)) as chunks,
    ):
        await redis.set(f"parley:revoked:{session}", 1, ex=60)
        found = await rest(chunks)
        assert found.endswith(b"data: 1\n\nevent: session_revoked\ndata: {}\n\n")
        again = await world.client.get("/api/v1/models", headers=world.bearer(sid=session))
        assert (again.status_code, again.json()["code"]) == (401, "session_revoked")
        await eventually(lambda: world.chat.open <= 1)


async def test_while_redis_does_not_know_the_revocations_auth_is_asked(worlds: Any, backends: SharedBackends) -> None:
    import orjson

    session = str(new_id())
    async with open_redis(await backends.redis_url(), timeout=2) as redis:
        await redis.delete(REVOCATIONS_MARKER)
    async with worlds(internal_client_secret="s3cret") as world:
        keys_answer = world.auth.answer

        async def auth(seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
            if seen.target == "/api/v1/auth/token":
                await respond(200, b'{"access_token":"service","expires_in":900}')(seen, writer)
            elif seen.target == "/internal/revocations/check":
                revoked = [sid for sid in orjson.loads(bytes(seen.body))["sessions"] if sid == session]
                await respond(200, orjson.dumps({"revoked_sessions": revoked, "revoked_users": []}))(seen, writer)
            else:
                await keys_answer(seen, writer)

        world.auth.answer = auth
        assert (await world.client.get("/api/v1/models", headers=world.bearer())).status_code == 200
        refused = await world.client.get("/api/v1/models", headers=world.bearer(sid=session))
        assert (refused.status_code, refused.json()["code"]) == (401, "session_revoked")
        asked = [seen for seen in world.auth.journal if seen.target == "/internal/revocations/check"]
        assert asked[-1].header("authorization") == "Bearer service"


async def test_draining_lets_turns_end_and_says_goodbye_to_the_rest(worlds: Any) -> None:
    async with worlds(drain_timeout=1.5) as world:
        world.chat.answer = world.history.answer = endless
        headers = world.bearer()
        async with (
            streaming(world, headers) as turn,
            world.client.stream("GET", "/api/v1/events", headers=headers) as feed,
        ):
            lifecycle = world.app.state.runtime.lifecycle
            lifecycle.start_draining()
            goodbye = b'event: draining\ndata: {"retry_after_ms":500}\n\n'
            assert (await rest(feed.aiter_raw())).endswith(goodbye)
            await eventually(lambda: lifecycle.open_requests == 1)
            refused = await world.client.get("/api/v1/models", headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (503, "draining")
            assert refused.headers["connection"] == "close"
            assert (await rest(turn)).endswith(b"data: 1\n\n" + goodbye)
        assert await lifecycle.wait_idle(1)


async def test_a_client_that_does_not_read_is_cut_and_its_upstream_with_it(worlds: Any) -> None:
    async with worlds(write_timeout=0.5) as world:

        async def flood(_seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
            writer.write(HEAD)
            event = b"data: " + b"x" * 60_000 + b"\n\n"
            while True:
                writer.write(b"%x\r\n%b\r\n" % (len(event), event))
                await writer.drain()

        world.chat.answer = flood
        token = world.bearer()["authorization"].encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port, limit=1024)
        writer.write(
            b"POST /api/v1/chat/stream HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nAuthorization: %b\r\n\r\n{}" % token
        )
        await eventually(lambda: world.chat.journal)
        await eventually(lambda: world.chat.open == 0, within=8)
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


async def test_a_websocket_passes_frames_identity_and_close_codes(worlds: Any) -> None:
    async with echo_server() as (port, seen), worlds(chat_url=f"http://127.0.0.1:{port}") as world:
        token = world.bearer()["authorization"].removeprefix("Bearer ")
        protocols = [Subprotocol("parley.v1"), Subprotocol(f"parley.bearer.{token}")]
        url = f"ws://127.0.0.1:{world.port}/api/v1/chat/ws"
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


async def test_a_websocket_of_a_wrong_credential_origin_or_path_is_refused(worlds: Any) -> None:
    async with echo_server() as (port, seen), worlds(chat_url=f"http://127.0.0.1:{port}") as world:
        base = f"ws://127.0.0.1:{world.port}"
        bad = [Subprotocol("parley.bearer.rubbish")]
        with pytest.raises(InvalidStatus):
            await connect(f"{base}/api/v1/chat/ws", subprotocols=bad, proxy=None)
        with pytest.raises(InvalidStatus):
            await connect(f"{base}/api/v1/chat/ws", origin=Origin("https://evil.example"), proxy=None)
        with pytest.raises(InvalidStatus):
            await connect(f"{base}/api/v1/models", proxy=None)
        assert seen == []


async def test_api_keys_are_exchanged_once_and_wrong_ones_are_remembered(world: Any) -> None:
    keys_answer, asked = world.auth.answer, []
    good, bad = ("parley_" + letter * 38 for letter in "ab")
    token = world.bearer(client_id="api-key")["authorization"].removeprefix("Bearer ")

    async def auth(seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
        if seen.target != "/api/v1/auth/token":
            await keys_answer(seen, writer)
            return
        asked.append(bytes(seen.body).decode())
        body = b'{"access_token":"%b","expires_in":900}' % token.encode()
        await (respond(200, body) if good in asked[-1] else respond(400, b'{"error":"invalid_grant"}'))(seen, writer)

    world.auth.answer = auth
    for headers in ({"x-api-key": good}, {"authorization": f"Bearer {good}"}):
        answers = await asyncio.gather(*(world.client.get("/api/v1/models", headers=headers) for _ in range(5)))
        assert {answer.status_code for answer in answers} == {200}
    assert world.chat.journal[-1].header("authorization") == f"Bearer {token}"
    assert world.chat.journal[-1].header("x-api-key") is None
    assert len(asked) == 1
    for _ in range(3):
        refused = await world.client.get("/api/v1/models", headers={"x-api-key": bad})
        assert (refused.status_code, refused.json()["code"]) == (401, "api_key_invalid")
    assert len(asked) == 2


async def test_answers_are_compressed_when_asked_for_and_streams_never(world: Any) -> None:
    headers = {**world.bearer(), "accept-encoding": "gzip"}
    world.history.answer = respond(200, b'{"data":"' + b"x" * 5000 + b'"}')
    response = await world.client.get("/api/v1/conversations", headers=headers)
    assert response.headers["content-encoding"] == "gzip"
    assert len(response.json()["data"]) == 5000
    world.history.answer = respond(200, b"x" * 5000, ("etag", '"7"'))
    assert "content-encoding" not in (await world.client.get("/api/v1/conversations/abc", headers=headers)).headers
    world.chat.answer = endless
    async with world.client.stream("POST", "/api/v1/chat/stream", json={}, headers=headers) as stream:
        assert "content-encoding" not in stream.headers


async def test_browsers_are_told_who_may_call(worlds: Any) -> None:
    async with worlds(cors_origins="https://app.example") as world:
        preflight = {"origin": "https://app.example", "access-control-request-method": "POST"}
        allowed = await world.client.options("/api/v1/chat", headers=preflight)
        assert allowed.status_code == 204
        assert allowed.headers["access-control-allow-origin"] == "https://app.example"
        assert {"cache-control", "idempotency-key"} <= set(allowed.headers["access-control-allow-headers"].split(", "))
        refused = await world.client.options("/api/v1/chat", headers={**preflight, "origin": "https://evil.example"})
        assert "access-control-allow-origin" not in refused.headers
        answer = await world.client.get("/api/v1/models", headers={"origin": "https://app.example"})
        assert answer.status_code == 401
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        assert "x-request-id" in answer.headers["access-control-expose-headers"]
        assert answer.headers["vary"] == "origin"
