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


def ping(ref: str) -> str:
    return orjson.dumps({"type": "ping", "ref": ref}).decode()


@contextlib.asynccontextmanager
async def echo_server() -> AsyncIterator[tuple[int, list[ServerConnection]]]:
    seen: list[ServerConnection] = []

    async def echo(socket: ServerConnection) -> None:
        seen.append(socket)
        async for message in socket:
            if message == '{"type":"close"}':
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
            for letter in ("h", "x" * 500_000):
                await socket.send(ping(letter))
                assert await socket.recv() == ping(letter)
            await socket.send('{"type":"close"}')
            with pytest.raises(ConnectionClosed):
                await socket.recv()
            assert (socket.close_code, socket.close_reason) == (4401, "expired")
        request = seen[0].request
        assert request is not None
        assert request.headers["authorization"] == f"Bearer {token}"
        assert request.headers["x-forwarded-for"] == "127.0.0.1"


async def test_a_websocket_with_an_invalid_credential_origin_or_path_is_rejected(
    run_gateway: RunGateway,
) -> None:
    async with echo_server() as (port, seen), run_gateway(chat_url=f"http://127.0.0.1:{port}") as gateway:
        base = f"ws://127.0.0.1:{gateway.port}"
        bad = [Subprotocol("parley.v1"), Subprotocol("parley.bearer.rubbish")]
        async with connect(f"{base}/api/v1/chat/ws", subprotocols=bad, proxy=None) as socket:
            assert socket.subprotocol == "parley.v1"
            assert await closed(socket) == (4401, "token_invalid")
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
                    await socket.send(ping("there?"))
                    assert await socket.recv() == ping("there?")


async def test_frames_are_relayed_as_the_gateway_read_them(run_gateway: RunGateway) -> None:
    async with chatting(run_gateway) as (gateway, _), opened(gateway, token_of(gateway)) as socket:
        token = token_of(gateway)
        for sent, received in (
            (f' {{ "type" : "auth", "token" : "{token}" }} ', auth(token)),
            ('{"type":"turn.cancel"}', '{"type":"turn.cancel"}'),
            ('{"\\u0074ype":"x"}', '{"type":"x"}'),
        ):
            await socket.send(sent)
            assert await socket.recv() == received


INVALID_FRAMES = [
    '{"type":"turn.cancel","type":"auth","token":"t"}',
    '{"type":"auth","token":"t","x":NaN}',
    '{"type":"auth","token":"t","token":"u"}',
    '{"type":"turn.cancel","x":1e999}',
    "no JSON at all",
    "[1]",
    b'{"type":"turn.cancel"}',
]


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("frame", INVALID_FRAMES)
async def test_a_frame_that_is_not_strict_json_closes_the_websocket_and_is_not_relayed(
    run_gateway: RunGateway, frame: str | bytes, known: bool
) -> None:
    async with chatting(run_gateway) as (gateway, chat):
        async with opened(gateway, token_of(gateway) if known else None) as socket:
            await socket.send(frame)
            assert (await closed(socket))[0] == 4400
        await eventually(lambda: chat.open == 0)
        assert chat.seen == []


async def test_nothing_but_auth_is_relayed_before_the_caller_is_known(run_gateway: RunGateway) -> None:
    async with chatting(run_gateway) as (gateway, chat), opened(gateway) as socket:
        await socket.send(ping("hello"))
        assert await closed(socket) == (4401, "credentials_missing")
        assert chat.seen == []


async def test_a_crafted_auth_frame_of_a_revoked_session_is_not_relayed(
    run_gateway: RunGateway, backends: SharedBackends
) -> None:
    session = str(new_id())
    await revoke(backends, session)
    async with chatting(run_gateway) as (gateway, chat):
        token = token_of(gateway, sid=session)
        for crafted in (
            f'{{"type":"auth","token":"{token}","x":NaN}}',
            f'{{"type":"auth","token":"{token}","type":"x","type":"auth"}}',
            f'{{"type":"x","type":"auth","token":"{token_of(gateway)}","token":"{token}"}}',
        ):
            async with opened(gateway) as socket:
                await socket.send(crafted)
                assert (await closed(socket))[0] == 4400
        assert chat.seen == []


@pytest.mark.parametrize("kind", ["turn.create", "turn.cancel", "auth"])
async def test_frames_count_like_requests(run_gateway: RunGateway, kind: str) -> None:
    async with chatting(run_gateway, rate_limit_requests=60, rate_limit_burst=20) as (gateway, chat):
        token = token_of(gateway, sub=str(new_id()))
        frame = auth(token) if kind == "auth" else orjson.dumps({"type": kind}).decode()
        async with opened(gateway, token) as socket:
            with contextlib.suppress(ConnectionClosed):
                for _ in range(200):
                    await socket.send(frame)
            assert await closed(socket) == (4429, "rate_limited")
        assert 15 <= len(chat.seen) <= 40


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
        await socket.send(ping("still there"))
        assert await socket.recv() == ping("still there")


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
