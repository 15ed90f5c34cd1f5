"""Turns over the WebSocket."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
import websockets
from websockets.asyncio.client import ClientConnection
from websockets.typing import Subprotocol

from chat_testing.replica import ChatReplica, NewDatabase, OpenReplica
from parley.ids import new_id
from parley_testing import eventually

pytestmark = pytest.mark.integration


@contextlib.asynccontextmanager
async def connected(replica: ChatReplica, *subprotocols: str) -> AsyncIterator[Any]:
    url = replica.url.replace("http", "ws", 1) + "/api/v1/chat/ws"
    async with websockets.connect(url, subprotocols=[Subprotocol(p) for p in subprotocols], proxy=None) as socket:
        yield socket


async def send(socket: ClientConnection, **frame: Any) -> None:
    await socket.send(orjson.dumps(frame).decode())


async def receive(socket: ClientConnection) -> Any:
    async with asyncio.timeout(10):
        return orjson.loads(await socket.recv())


async def until_finished(socket: ClientConnection, ref: str) -> list[Any]:
    frames: list[Any] = []
    while not frames or not frames[-1]["data"]["finished"]:
        frame = await receive(socket)
        assert (frame["type"], frame["ref"]) == ("turn.event", ref), frame
        frames.append(frame)
    return frames


async def closed_with(socket: ClientConnection) -> int:
    async with asyncio.timeout(10):
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                await socket.recv()
    assert socket.close_code is not None
    return socket.close_code


async def test_a_turn_runs_over_the_socket_and_is_resumed(replica: ChatReplica) -> None:
    user = replica.user()
    async with connected(replica, "parley.v1", f"parley.bearer.{user.token}") as socket:
        assert socket.subprotocol == "parley.v1"
        ready = await receive(socket)
        assert (ready["type"], ready["user_id"]) == ("ready", str(user.id))
        await send(socket, type="turn.create", ref="c1", body={"message": "Hi [[fake tokens=3]]"})
        frames = await until_finished(socket, "c1")
        assert [frame["id"] for frame in frames] == ["1", "2", "3", "4", "5"]
        assert "".join(frame["data"]["delta"] for frame in frames) == "t1 t2 t3"
        turn_id = frames[0]["data"]["turn_id"]
        await send(socket, type="turn.resume", ref="c2", turn_id=turn_id, after="3")
        again = await until_finished(socket, "c2")
        assert [frame["data"] for frame in again] == [frame["data"] for frame in frames[3:]]
        assert [event.data for event in await user.resumed(turn_id)] == [frame["data"] for frame in frames]


async def test_a_turn_calls_a_tool_and_goes_on_with_its_result_over_the_socket(replica: ChatReplica) -> None:
    user = replica.user()
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}]
    async with connected(replica, "parley.v1", f"parley.bearer.{user.token}") as socket:
        await receive(socket)
        body = {"message": "Weather? [[fake tool_calls=1 times=1]]", "tools": tools}
        await send(socket, type="turn.create", ref="c1", body=body)
        first = await until_finished(socket, "c1")
        (call,) = [call for frame in first for call in frame["data"].get("tool_calls", ())]
        assert (call["function"]["name"], first[-1]["data"]["finish_reason"]) == ("weather", "tool_calls")
        results = [{"tool_call_id": call["id"], "content": "Rain"}]
        body = {"conversation_id": first[0]["data"]["conversation_id"], "tool_results": results, "tools": tools}
        await send(socket, type="turn.create", ref="c2", body=body)
        second = await until_finished(socket, "c2")
    assert second[0]["data"]["user_message_id"] == first[0]["data"]["user_message_id"]
    assert "".join(frame["data"]["delta"] for frame in second).startswith("t1 t2")


async def test_a_turn_is_cancelled_over_the_socket(replica: ChatReplica) -> None:
    user = replica.user()
    async with connected(replica, "parley.v1") as socket:
        await send(socket, type="auth", token=user.token)
        await receive(socket)
        await send(socket, type="turn.create", ref="c1", body={"message": "Hi [[fake tokens=500 rate=20]]"})
        turn_id = (await receive(socket))["data"]["turn_id"]
        await send(socket, type="turn.cancel", ref="c2", turn_id=turn_id)
        frames = [await receive(socket)]
        while frames[-1]["type"] != "ok":
            frames.append(await receive(socket))
    assert (await user.turn(turn_id))["status"] == "cancelled"


async def test_a_closed_socket_does_not_stop_its_turn(replica: ChatReplica) -> None:
    user = replica.user()
    async with connected(replica, "parley.v1", f"parley.bearer.{user.token}") as socket:
        await receive(socket)
        await send(socket, type="turn.create", ref="c1", body={"message": "Hi [[fake tokens=20 rate=40]]"})
        turn_id = (await receive(socket))["data"]["turn_id"]
    events = await user.resumed(turn_id)
    assert events[-1].data["status"] == "completed"


async def test_refusals_are_problems_with_their_ref(replica: ChatReplica) -> None:
    user = replica.user()
    async with connected(replica, "parley.v1", f"parley.bearer.{user.token}") as socket:
        await receive(socket)
        await send(socket, type="turn.create", ref="c1", body={"message": ""})
        refused = await receive(socket)
        assert (refused["type"], refused["ref"]) == ("error", "c1")
        assert (refused["problem"]["status"], refused["problem"]["code"]) == (422, "validation_failed")
        assert refused["problem"]["errors"][0]["pointer"] == "/message"
        await send(socket, type="turn.resume", ref="c2", turn_id=str(new_id()))
        assert (await receive(socket))["problem"]["code"] == "turn_not_found"


async def test_more_than_twenty_concurrent_turns_are_refused(replica: ChatReplica) -> None:
    user = replica.user()
    async with connected(replica, "parley.v1", f"parley.bearer.{user.token}") as socket:
        await receive(socket)
        for number in range(21):
            await send(socket, type="turn.create", ref=f"c{number}", body={"message": "[[fake tokens=60 rate=20]]"})
        frame = await receive(socket)
        while frame["type"] != "error":
            frame = await receive(socket)
        assert (frame["ref"], frame["problem"]["code"]) == ("c20", "too_many_streams")


BAD_FRAMES = [
    "{",
    "[]",
    '{"type":"x"}',
    '{"type":"turn.cancel"}',
    '{"type":"turn.cancel","ref":7}',
    '{"type":"turn.create","ref":"a","ref":"b","body":{"message":"Hi"}}',
    '{"type":"turn.create","ref":"a","body":{"message":"Hi","temperature":NaN}}',
    b'{"type":"turn.create","ref":"a","body":{"message":"Hi"}}',
    b"\xff",
]


WRONG_FRAMES: list[tuple[dict[str, Any], str, str]] = [
    ({"type": "turn.create"}, "/body", "required"),
    ({"type": "turn.create", "body": "Hi"}, "/body", "dict_type"),
    ({"type": "turn.create", "body": {"message": 7}}, "/message", "string_type"),
    ({"type": "turn.create", "body": {"message": "Hi"}, "more": 1}, "/more", "unknown_member"),
    (
        {"type": "turn.create", "body": {"message": "Hi"}, "idempotency_key": "a b"},
        "/idempotency_key",
        "invalid_format",
    ),
    ({"type": "turn.create", "body": {"message": "Hi"}, "cache_control": 1}, "/cache_control", ""),
    ({"type": "turn.resume", "turn_id": ["x"]}, "/turn_id", "uuid_type"),
    ({"type": "turn.resume", "turn_id": "x"}, "/turn_id", ""),
    ({"type": "turn.cancel", "turn_id": None}, "/turn_id", "uuid_type"),
    ({"type": "turn.resume", "turn_id": str(new_id()), "after": 5}, "/after", ""),
    ({"type": "turn.create.not", "turn_id": str(new_id())}, "/type", "unknown_type"),
]


async def test_a_frame_with_a_wrong_member_is_an_error_frame_and_the_socket_stays_open(replica: ChatReplica) -> None:
    user = replica.user()
    async with connected(replica, "parley.v1", f"parley.bearer.{user.token}") as socket:
        await receive(socket)
        for number, (wrong, pointer, code) in enumerate(WRONG_FRAMES):
            await send(socket, ref=f"w{number}", **wrong)
            refused = await receive(socket)
            assert (refused["type"], refused["ref"]) == ("error", f"w{number}"), wrong
            problem = refused["problem"]
            assert (problem["status"], problem["code"]) == (422, "validation_failed"), wrong
            assert problem["errors"][0]["pointer"] == pointer, wrong
            assert code in ("", problem["errors"][0]["code"]), wrong
        turn = (await user.chat("Hi [[fake tokens=1]]")).json()
        for cursor in ("x", "-1", "1.5", "9999999999", " 1", "9" * 1000):
            await send(socket, type="turn.resume", ref="bad", turn_id=turn["turn_id"], after=cursor)
            refused = await receive(socket)
            assert (refused["type"], refused["ref"], refused["problem"]["code"]) == ("error", "bad", "invalid_cursor")
        await send(socket, type="turn.resume", ref="good", turn_id=turn["turn_id"])
        assert "".join(each["data"]["delta"] for each in await until_finished(socket, "good")) == "t1"


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("frame", BAD_FRAMES)
async def test_a_bad_frame_closes_the_socket(
    replica: ChatReplica, frame: str | bytes, known: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    offered = [f"parley.bearer.{replica.user().token}"] if known else []
    async with connected(replica, "parley.v1", *offered) as socket:
        if known:
            await receive(socket)
        await socket.send(frame)
        assert await closed_with(socket) == 4400
    assert "Traceback" not in "".join(capsys.readouterr())


async def test_bad_tokens_and_missing_scopes_close_the_socket(replica: ChatReplica) -> None:
    async with connected(replica, "parley.v1", "parley.bearer.rubbish") as socket:
        assert await closed_with(socket) == 4401
    async with connected(replica, "parley.v1", f"parley.bearer.{replica.user(scope='account').token}") as socket:
        assert await closed_with(socket) == 4403
    async with connected(replica, "parley.v1") as socket:
        await send(socket, type="turn.cancel", ref="c", turn_id=str(new_id()))
        assert await closed_with(socket) == 4401


async def test_an_expired_token_closes_the_socket_unless_renewed(replica: ChatReplica) -> None:
    user = replica.user()
    short = replica.issuer.token(user.id, lifetime=2)
    protocols = ("parley.v1", f"parley.bearer.{short}")
    async with connected(replica, *protocols) as one, connected(replica, *protocols) as two:
        await receive(one)
        await receive(two)
        await send(two, type="auth", token=user.token)
        await receive(two)
        assert await closed_with(one) == 4401
        await send(two, type="turn.create", ref="c1", body={"message": "Hi [[fake tokens=1]]"})
        assert (await until_finished(two, "c1"))[-1]["data"]["status"] == "completed"


async def test_a_socket_without_authentication_is_closed(replica: ChatReplica) -> None:
    async with connected(replica, "parley.v1") as socket:
        assert await closed_with(socket) == 4408


async def test_a_frame_has_a_cache_policy(open_replica: OpenReplica, new_database: NewDatabase) -> None:
    async with open_replica(await new_database(), enable_cache=True) as replica:
        user = replica.user()
        async with connected(replica, "parley.v1", f"parley.bearer.{user.token}") as socket:
            await receive(socket)
            cached = []
            for cache_control in (None, None, "no-cache", "no-store"):
                create = {"type": "turn.create", "ref": "c1", "cache_control": cache_control}
                await send(socket, **create, body={"message": "Hi [[fake tokens=3]]"})
                frames = await until_finished(socket, "c1")
                cached.append(frames[-1]["data"]["cached"])
                await eventually(lambda: not replica.wired.supervisor.running())
        assert cached == [False, True, False, False]
