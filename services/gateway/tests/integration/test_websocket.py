"""WebSockets: frames relayed in both directions, and credentials checked at the start, in frames, and while open."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import orjson
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

from gateway_testing.running import RunGateway, RunningGateway
from parley.ids import new_id
from parley.storage.redis import open_redis
from parley_embedded.sockets import free_port
from parley_testing import eventually
from parley_testing.backends.shared import SharedBackends

pytestmark = pytest.mark.integration

USER = "01a200a6-d8e8-77ac-b25c-1d805c924a2b"


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


async def test_a_websocket_relays_frames_identity_and_close_codes(run_gateway: RunGateway) -> None:
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


async def test_a_websocket_with_an_invalid_credential_origin_or_path_is_rejected(run_gateway: RunGateway) -> None:
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


class Chat:
    """Echoes every frame, and records it."""

    def __init__(self) -> None:
        self.seen: list[str | bytes] = []
        self.open = 0

    async def __call__(self, socket: ServerConnection) -> None:
        self.open += 1
        try:
            async for message in socket:
                self.seen.append(message)
                await socket.send(message)
        finally:
            self.open -= 1


@contextlib.asynccontextmanager
async def chatting(run_gateway: RunGateway, **settings: object) -> AsyncIterator[tuple[RunningGateway, Chat]]:
    chat = Chat()
    async with serve(chat, "127.0.0.1", 0, subprotocols=[Subprotocol("parley.v1")], compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with run_gateway(chat_url=f"http://127.0.0.1:{port}", **settings) as gateway:
            yield gateway, chat


def opened(gateway: RunningGateway, token: str | None = None) -> connect:
    protocols = [Subprotocol("parley.v1")] + ([Subprotocol(f"parley.bearer.{token}")] if token else [])
    return connect(f"ws://127.0.0.1:{gateway.port}/api/v1/chat/ws", subprotocols=protocols, proxy=None)


def token_of(gateway: RunningGateway, **claims: object) -> str:
    return str(gateway.bearer(**{"sub": USER, **claims})["authorization"]).removeprefix("Bearer ")


def auth(token: str) -> str:
    return orjson.dumps({"type": "auth", "token": token}).decode()


async def closed(socket: ClientConnection) -> tuple[int | None, str | None]:
    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionClosed):
            while True:
                await socket.recv()
    return socket.close_code, socket.close_reason


async def revoke(backends: SharedBackends, session: str) -> None:
    async with open_redis(await backends.redis_url(), timeout=2) as redis:
        await redis.set(f"parley:revoked:{session}", 1, ex=60)


async def test_an_unreachable_replica_does_not_fail_a_websocket(run_gateway: RunGateway) -> None:
    chat, gone = Chat(), free_port()
    async with serve(chat, "127.0.0.1", 0, subprotocols=[Subprotocol("parley.v1")], compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with run_gateway(chat_url=f"http://127.0.0.1:{gone},http://127.0.0.1:{port}") as gateway:
            for _ in range(12):
                async with opened(gateway, token_of(gateway)) as socket:
                    await socket.send("there?")
                    assert await socket.recv() == "there?"


async def test_auth_frames_and_all_others_are_relayed(run_gateway: RunGateway) -> None:
    async with chatting(run_gateway) as (gateway, _), opened(gateway, token_of(gateway)) as socket:
        for frame in (auth(token_of(gateway)), '{"type":"turn.cancel"}', "no JSON at all", "[1]"):
            await socket.send(frame)
            assert await socket.recv() == frame


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"sub": "01a200a6-d8e8-77ac-b25c-1d805c924a2c"}, "token_invalid"),
        ({"exp": 1000, "iat": 100}, "token_expired"),
        ({"aud": "another"}, "token_invalid"),
    ],
)
async def test_an_auth_frame_with_an_invalid_token_closes_the_websocket_and_is_not_relayed(
    run_gateway: RunGateway, claims: dict[str, object], reason: str
) -> None:
    async with chatting(run_gateway) as (gateway, chat), opened(gateway, token_of(gateway)) as socket:
        await socket.send(auth(token_of(gateway, **claims)))
        assert await closed(socket) == (4401, reason)
        await eventually(lambda: chat.open == 0)
        assert chat.seen == []


@pytest.mark.parametrize("first", [False, True])
async def test_an_auth_frame_of_a_revoked_session_closes_the_websocket(
    run_gateway: RunGateway, backends: SharedBackends, first: bool
) -> None:
    session = str(new_id())
    await revoke(backends, session)
    async with (
        chatting(run_gateway) as (gateway, chat),
        opened(gateway, None if first else token_of(gateway)) as socket,
    ):
        await socket.send(auth(token_of(gateway, sid=session)))
        assert await closed(socket) == (4401, "session_revoked")
        assert chat.seen == []


@pytest.mark.parametrize("by_frame", [False, True])
async def test_an_open_websocket_of_a_revoked_session_is_closed(
    run_gateway: RunGateway, backends: SharedBackends, by_frame: bool
) -> None:
    session = str(new_id())
    async with chatting(run_gateway) as (gateway, chat):
        token = token_of(gateway, sid=session)
        async with opened(gateway, None if by_frame else token) as socket:
            if by_frame:
                await socket.send(auth(token))
                await socket.recv()
            await eventually(lambda: chat.open == 1)
            await revoke(backends, session)
            assert await closed(socket) == (4401, "session_revoked")
            await eventually(lambda: chat.open == 0)


async def test_a_renewed_websocket_outlives_its_first_session(
    run_gateway: RunGateway, backends: SharedBackends
) -> None:
    before = str(new_id())
    async with chatting(run_gateway) as (gateway, _), opened(gateway, token_of(gateway, sid=before)) as socket:
        await socket.send(auth(token_of(gateway)))
        await socket.recv()
        await revoke(backends, before)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(socket.recv(), 2)
        await socket.send("still there")
        assert await socket.recv() == "still there"


async def test_a_websocket_authenticated_by_a_frame_counts_as_a_stream_of_the_user(run_gateway: RunGateway) -> None:
    user = str(new_id())
    async with (
        chatting(run_gateway, streams_per_user=1) as (gateway, _),
        opened(gateway) as one,
        opened(gateway) as two,
    ):
        await one.send(auth(token_of(gateway, sub=user)))
        await one.recv()
        await two.send(auth(token_of(gateway, sub=user)))
        assert await closed(two) == (4429, "too_many_streams")
        await one.close()
        async with opened(gateway) as three:
            frame = auth(token_of(gateway, sub=user))
            await three.send(frame)
            assert await three.recv() == frame
