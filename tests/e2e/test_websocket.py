"""Turns over the WebSocket of the gateway, and frames that try to pass it unread."""

import asyncio
import contextlib
import json
from collections.abc import Sequence
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from parley_testing import eventually
from parley_testing.http.client import UserClient

pytestmark = pytest.mark.e2e


def opened(http: httpx2.AsyncClient, subprotocols: Sequence[str] = ("parley.v1",)) -> connect:
    url = str(http.base_url.copy_with(scheme="ws", path="/api/v1/chat/ws"))
    return connect(url, subprotocols=[Subprotocol(name) for name in subprotocols], proxy=None)


async def receive(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(20):
        found: dict[str, Any] = json.loads(await socket.recv())
    return found


async def close_code(socket: ClientConnection) -> int | None:
    async with asyncio.timeout(20):
        with contextlib.suppress(ConnectionClosed):
            while True:
                await socket.recv()
    return socket.close_code


@pytest.mark.parametrize("by_frame", [False, True])
async def test_a_turn_runs_over_the_websocket(http: httpx2.AsyncClient, user: UserClient, by_frame: bool) -> None:
    token = user.tokens["access_token"]
    async with opened(http, ["parley.v1"] if by_frame else ["parley.v1", f"parley.bearer.{token}"]) as socket:
        if by_frame:
            await socket.send(json.dumps({"type": "auth", "token": token}))
        assert (await receive(socket))["type"] == "ready"
        body = {"message": "Grüße 😀 [[fake tokens=3]]", "temperature": 0.5, "metadata": {"a": "1"}}
        await socket.send(json.dumps({"type": "turn.create", "ref": "r", "body": body}))
        events = [await receive(socket)]
        while not events[-1]["data"]["finished"]:
            events.append(await receive(socket))
    assert events[-1]["data"]["status"] == "completed"
    started = events[0]["data"]
    path = f"/api/v1/conversations/{started['conversation_id']}/messages?wait_for={started['turn_id']}"

    async def stored() -> bool:
        messages = (await user.request("GET", path)).json().get("data", [])
        return [m["content"] for m in messages if m["role"] == "user"] == [body["message"]]

    await eventually(stored, within=20)


async def test_a_token_that_was_logged_out_opens_no_websocket_in_any_spelling(
    http: httpx2.AsyncClient, user: UserClient
) -> None:
    token = user.tokens["access_token"]
    await http.post("/api/v1/auth/revoke", data={"token": user.tokens["refresh_token"]})

    async def refused() -> bool:
        return (await user.request("GET", "/api/v1/models")).status_code == httpx2.codes.UNAUTHORIZED

    await eventually(refused, within=20)
    for frame, code in (
        (f'{{"type":"auth","token":"{token}"}}', 4401),
        (f'{{"\\u0074ype":"\\u0061uth","token":"{token}"}}', 4401),
        (f' {{"token":"{token}","type":"auth"}}\n', 4401),
        (f'{{"type":"auth","token":"{token}","x":NaN}}', 4400),
        (f'{{"type":"auth","token":"{token}","x":1e999}}', 4400),
        (f'{{"type":"x","type":"auth","token":"{token}"}}', 4400),
        (f'{{"type":"auth","token":"x","token":"{token}"}}', 4400),
        (f'{{"type":"auth","token":"{token}","more":1}}', 4400),
        (f'\ufeff{{"type":"auth","token":"{token}"}}', 4400),
        (f'{{"type":"auth","token":"{token}"}}'.encode(), 4400),
        (f'{{"type":"turn.create","ref":"r","body":{{"message":"Hi"}},"token":"{token}"}}', 4401),
    ):
        async with opened(http) as socket:
            await socket.send(frame)
            assert await close_code(socket) == code, frame
