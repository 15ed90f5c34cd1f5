"""WebSockets: the handshake, and the frames relayed in both directions."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

from gateway_testing.running import RunGateway
from gateway_testing.websocket_echo import FrameEcho, auth, chatting, closed, opened, ping, token_of
from parley.ids import new_id
from parley_embedded.sockets import free_port
from parley_testing import eventually
from parley_testing.http.client import open_http

pytestmark = pytest.mark.integration


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


async def test_a_request_without_a_handshake_learns_that_the_path_needs_one(run_gateway: RunGateway) -> None:
    async with echo_server() as (port, seen), run_gateway(chat_url=f"http://127.0.0.1:{port}") as gateway:
        async with open_http(f"http://127.0.0.1:{gateway.port}") as http:
            found = await http.get("/api/v1/chat/ws", headers={"Authorization": f"Bearer {gateway.token()}"})
            assert (found.status_code, found.json()["code"]) == (426, "upgrade_required")
            assert (found.headers["upgrade"], found.headers["connection"]) == ("websocket", "Upgrade")
            openai = await http.get("/v1/responses")
            assert (openai.status_code, openai.json()["error"]["code"]) == (426, "upgrade_required")
        assert seen == []


async def test_an_unreachable_replica_does_not_fail_a_websocket(run_gateway: RunGateway) -> None:
    chat, gone = FrameEcho(), free_port()
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
    ("frame", "code"),
    [
        (b"\x00", "invalid_request"),
        ("{", "invalid_json"),
        ("[]", "invalid_request"),
        ("[" * 10_000 + "]" * 10_000, "invalid_json"),
        ('{"type":"response.create","x":' + "[" * 90_000, "invalid_request"),
    ],
)
async def test_a_rubbish_frame_of_openais_api_is_an_error_and_the_next_frame_is_relayed(
    run_gateway: RunGateway, frame: str | bytes, code: str
) -> None:
    async with chatting(run_gateway) as (gateway, chat):
        async with opened(gateway, token_of(gateway), "/v1/responses") as socket:
            await socket.send(frame)
            error = orjson.loads(await socket.recv())
            assert (error["type"], error["status"], error["error"]["code"]) == ("error", 400, code)
            await socket.send('{"type":"response.create"}')
            assert await socket.recv() == '{"type":"response.create"}'
            await socket.send("x" * 2_097_152)
            assert (await closed(socket))[0] == 1009
        assert chat.seen == ['{"type":"response.create"}']


async def test_responses_over_a_websocket_are_limited_as_requests_and_a_refused_one_leaves_it_open(
    run_gateway: RunGateway, tmp_path: Path
) -> None:
    plans = tmp_path / "plans.yaml"
    plans.write_text("default: {requests_per_minute: 300, burst: 3}\n")
    async with (
        chatting(run_gateway, plans_file=plans) as (gateway, _chat),
        opened(gateway, token_of(gateway), "/v1/responses") as socket,
    ):
        for _ in range(20):
            await socket.send('{"type":"response.create"}')
        answers = [orjson.loads(await socket.recv()) for _ in range(20)]
        refused = next(answer for answer in answers if answer["type"] == "error")
        assert (refused["status"], refused["error"]["code"]) == (429, "rate_limited")
        assert int(refused["error"]["headers"]["Retry-After"]) >= 1

        async def is_admitted() -> bool:
            await socket.send('{"type":"response.create"}')
            return bool(orjson.loads(await socket.recv())["type"] == "response.create")

        await eventually(is_admitted)
