"""One turn, followed in several protocols while it runs: all readers get one text and one end."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from parley_testing import eventually
from parley_testing.http.client import UserClient

pytestmark = pytest.mark.e2e

TOKENS = 60
WHOLE = " ".join(f"t{number}" for number in range(1, TOKENS + 1))
Part = tuple[str, str | None]
"""A piece of the answer, and the status of the turn with its last event."""


class LiveReader:
    """Reads a turn in one protocol."""

    def __init__(self, parts: AsyncIterator[Part]) -> None:
        self.text, self.status = "", ""
        self._parts = parts

    async def read(self) -> None:
        async for text, status in self._parts:
            self.text += text
            assert not self.status, "one event is the last"
            self.status = status or ""


def uuid_of(resource: dict[str, Any]) -> str:
    return str(UUID(resource["id"].partition("_")[2]))


async def native(user: UserClient, turn: str) -> AsyncIterator[Part]:
    async for event in user.events("GET", f"/api/v1/chat/turns/{turn}/stream"):
        yield event.data["delta"], event.data["status"] if event.data["finished"] else None


async def use_chat(user: UserClient, conversation: str) -> AsyncIterator[Part]:
    async for event in user.events("GET", f"/api/v1/chat/ui/{conversation}/stream"):
        kind = event.data["type"]
        if kind == "text-delta":
            yield event.data["delta"], None
        elif kind == "abort":
            yield "", event.data["reason"]
            return  # what follows is not JSON
        elif kind == "finish":
            yield "", event.data["messageMetadata"]["status"]
            return


async def responses(user: UserClient, response: str) -> AsyncIterator[Part]:
    async for event in user.events("GET", f"/v1/responses/{response}", params={"stream": True}):
        yield part_of_response(event.data)


def part_of_response(event: dict[str, Any]) -> Part:
    if event["type"] == "response.output_text.delta":
        return event["delta"], None
    ends = event["type"] in {"response.completed", "response.incomplete", "response.failed"}
    return "", event["response"]["status"] if ends else None


async def websocket(user: UserClient, http: httpx2.AsyncClient, turn: str) -> AsyncIterator[Part]:
    url = str(http.base_url.copy_with(scheme="ws", path="/api/v1/chat/ws"))
    protocols = [Subprotocol("parley.v1"), Subprotocol(f"parley.bearer.{user.tokens['access_token']}")]
    async with connect(url, subprotocols=protocols, proxy=None) as socket:
        assert json.loads(await socket.recv())["type"] == "ready"
        await socket.send(json.dumps({"type": "turn.resume", "ref": "r", "turn_id": turn}))
        async for frame in socket:
            data = json.loads(frame)["data"]
            yield data["delta"], data["status"] if data["finished"] else None
            if data["finished"]:
                return


async def read_in_every_protocol(
    user: UserClient, http: httpx2.AsyncClient, prompt: str, when_live: Callable[[str, str], Any]
) -> list[LiveReader]:
    """Start a turn as a response, and read it in every protocol; ``when_live`` is called once all have two tokens."""
    body = {"model": "default", "input": prompt, "stream": True}
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        created = user.events("POST", "/v1/responses", json=body)
        response = (await anext(created)).data["response"]
        conversation, turn = (
            str(UUID(named["id"].partition("_")[2])) for named in (response["conversation"], response)
        )

        async def rest() -> AsyncIterator[Part]:
            async for event in created:
                yield part_of_response(event.data)

        parts = (
            rest(),
            native(user, turn),
            use_chat(user, conversation),
            responses(user, response["id"]),
            websocket(user, http, turn),
        )
        readers = [LiveReader(each) for each in parts]
        for reader in readers:
            tasks.create_task(reader.read())
        await eventually(lambda: all(reader.text.startswith("t1 t2") for reader in readers), within=60)
        await when_live(turn, conversation)
    return readers


async def test_readers_of_one_live_turn_in_every_protocol_get_the_same_text_and_its_end(
    user: UserClient, http: httpx2.AsyncClient
) -> None:
    async def wait(turn: str, conversation: str) -> None:
        return

    readers = await read_in_every_protocol(user, http, f"live [[fake tokens={TOKENS} rate=15]]", wait)
    assert [(reader.text, reader.status) for reader in readers] == [(WHOLE, "completed")] * len(readers)


async def test_a_turn_that_is_stopped_in_one_protocol_ends_in_all_of_them_with_the_same_text(
    user: UserClient, http: httpx2.AsyncClient
) -> None:
    async def stop(turn: str, conversation: str) -> None:
        running = await user.request("GET", f"/api/v1/chat/turns/{turn}")
        assert running.json()["status"] == "running"
        assert (await user.request("POST", f"/api/v1/chat/ui/{conversation}/stop")).status_code == 204

    readers = await read_in_every_protocol(user, http, "live [[fake endless=true rate=30]]", stop)
    (end,) = {(reader.text, reader.status) for reader in readers}
    assert end[1] == "cancelled"
    assert end[0].startswith("t1 t2")
