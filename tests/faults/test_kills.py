"""Everything is killed, one after the other, while turns stream: each accepted turn ends once, unaltered."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle
from typing import Any

import httpx2
import pytest

from fake_provider.server import FakeProvider
from parley.embedded.process import run_tool
from parley.ids import new_id
from parley.testing import eventually, faults
from parley.testing.client import Client, SseEvent, open_http
from parley.testing.private_servers import PrivateServers
from parley.testing.stacks import SeparateStack, command_path, environment

pytestmark = pytest.mark.e2e

TURNS = 10
ENDED_WITHIN, STORED_WITHIN = 60.0, 60.0
AGAIN = 0.3
"""Seconds until a client whose stream broke comes back."""

Kill = Callable[[], Awaitable[None]]


@dataclass
class Watcher:
    """A client that takes one turn and comes back, on any gateway, until it has seen the end."""

    user: Client
    gateways: list[httpx2.AsyncClient]
    message: str
    turn: str = ""
    conversation: str = ""
    cursor: str = ""
    text: str = ""
    status: str = ""

    async def watch(self) -> None:
        """See one turn to its end; without a turn id nothing was promised, and nothing is expected."""
        deadline = time.monotonic() + ENDED_WITHIN
        doors = cycle(self.gateways)
        await self._read(next(doors), "POST", "/api/v1/chat/stream", json={"message": self.message})
        while self.turn and not self.status:
            assert time.monotonic() < deadline, f"turn {self.turn} has not ended"
            await asyncio.sleep(AGAIN)
            path = f"/api/v1/chat/turns/{self.turn}/stream"
            await self._read(next(doors), "GET", path, headers={"Last-Event-ID": self.cursor} if self.cursor else {})

    async def _read(self, door: httpx2.AsyncClient, method: str, path: str, **options: Any) -> None:
        try:
            async for event in replace(self.user, http=door).events(method, path, **options):
                if event.name is None:
                    self._take(event)
        except (httpx2.TransportError, AssertionError):
            return

    def _take(self, event: SseEvent) -> None:
        self.turn, self.conversation = event.data["turn_id"], event.data["conversation_id"]
        self.cursor = event.id or self.cursor
        self.text += event.data["delta"]
        self.status = event.data["status"] if event.data["finished"] else ""


def victims(stack: SeparateStack, servers: PrivateServers) -> list[Kill]:
    """Return what can be killed and brought back, each asserting that it was gone."""

    def replica(found: Any, port: int) -> Kill:
        return lambda: faults.restart(found, port=port)

    return [
        *(replica(chat, chat.port) for chat in stack.chat),
        replica(servers.valkey, servers.valkey.port),
        replica(servers.rabbitmq, servers.rabbitmq.port),
        replica(stack.workers[0], stack.workers[0].admin_port),
        replica(servers.postgres, servers.postgres.port),
    ]


async def one_round(watchers: list[Watcher], kill: Kill, moment: float) -> None:
    async with asyncio.TaskGroup() as group:
        for watcher in watchers:
            group.create_task(watcher.watch())
        await asyncio.sleep(moment)
        await kill()


async def in_history(watcher: Watcher) -> dict[str, Any] | None:
    """Return the stored answer of a turn, asserting that it is there at most once."""
    response = await watcher.user.request("GET", f"/api/v1/conversations/{watcher.conversation}/messages")
    if response.status_code != httpx2.codes.OK:
        return None
    answers = [m for m in response.json()["data"] if m["role"] == "assistant" and m["status"] != "running"]
    assert [m["id"] for m in answers] in ([], [watcher.turn])
    return answers[0] if answers else None


async def verify(stack: SeparateStack) -> str:
    settings = environment(**stack.settings_of("chat"))
    _, output = await run_tool(command_path("parley"), "verify", seconds=60, environment=settings)
    return output


@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=pytest.mark.chaos)])
async def test_every_accepted_turn_ends_once_whatever_is_killed(
    private_servers: PrivateServers,
    private_stack: SeparateStack,
    private_provider: FakeProvider,
    users: list[Client],
    kills: int,
) -> None:
    seed = random.randrange(1_000_000)
    moments, mark = random.Random(seed), str(new_id())
    targets = cycle(moments.sample(found := victims(private_stack, private_servers), len(found)))
    watchers: list[Watcher] = []
    async with open_http(private_stack.url) as one, open_http(private_stack.url) as other:
        for number in range(kills):
            messages = [f"{mark}-{number}-{i} [[fake tokens=40 rate=20]]" for i in range(TURNS)]
            batch = [Watcher(users[i % len(users)], [one, other], text) for i, text in enumerate(messages)]
            await one_round(batch, next(targets), moments.uniform(0.1, 1.5))
            watchers += batch
        accepted = [watcher for watcher in watchers if watcher.turn]
        print(f"seed {seed}: {kills} kills, {len(accepted)} of {len(watchers)} turns accepted")
        assert len(accepted) >= len(watchers) * 3 / 4

        for watcher in accepted:
            kept = await eventually(partial(in_history, watcher), within=STORED_WITHIN)
            assert (kept["status"], kept["content"]) == (watcher.status, watcher.text)
            calls = await private_provider.journal(contains=watcher.message.split()[0] + " ")
            assert len(calls) == 1, watcher.turn

    async def nothing_is_wrong() -> bool:
        return ", 0 wrong, 0 waiting" in await verify(private_stack)

    await eventually(nothing_is_wrong, within=STORED_WITHIN)
