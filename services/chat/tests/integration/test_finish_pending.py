"""Outages of Postgres that last longer than clients should wait."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from chat_testing.replica import ChatReplica, OpenReplica, ReplicaPair, own_postgres
from chat_testing.users import ChatUser
from fake_provider.process import FakeProvider
from parley.ids import new_id
from parley.storage.postgres import COMMAND_TIMEOUT
from parley_embedded.postgres.server import EmbeddedPostgres
from parley_testing import eventually
from parley_testing.faults.processes import kill
from parley_testing.faults.tcp_proxy import TcpProxy, Toxics

pytestmark = pytest.mark.integration

PENDING_AFTER = 1.0
TOKENS = 20
WHOLE = " ".join(f"t{i}" for i in range(1, TOKENS + 1))


@pytest.fixture
async def postgres(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    async with own_postgres(tmp_path) as server:
        yield server


@pytest.fixture
async def pair(open_replica: OpenReplica, postgres: EmbeddedPostgres) -> AsyncIterator[ReplicaPair]:
    dsn = postgres.databases.url("chat")
    options: dict[str, Any] = {"finish_pending_after": PENDING_AFTER}
    async with open_replica(dsn, **options) as one, open_replica(dsn, **options) as two:
        yield one, two


async def completion_lines(user: ChatUser, message: str) -> tuple[str, list[Any]]:
    request = {"model": "default", "stream": True, "store": True, "messages": [{"role": "user", "content": message}]}
    stream = user.client.stream("POST", "/v1/chat/completions", json=request, headers=user.headers)
    async with stream as response:
        lines = [line.removeprefix("data: ") async for line in response.aiter_lines() if line.startswith("data: ")]
    return response.headers["x-turn-id"], lines


async def completion(user: ChatUser, message: str) -> Any:
    request = {"model": "default", "store": True, "messages": [{"role": "user", "content": message}]}
    return await user.request("POST", "/v1/chat/completions", json=request)


async def test_clients_are_told_that_the_end_is_pending_and_can_read_it_later(
    pair: ReplicaPair, postgres: EmbeddedPostgres, provider: FakeProvider
) -> None:
    mark = str(new_id())
    users = [pair[0].user() for _ in range(4)]
    message = f"{mark} [[fake tokens={TOKENS} rate=20]]"
    streamed = asyncio.create_task(users[0].streamed("/api/v1/chat/stream", json={"message": message}))
    whole = asyncio.create_task(users[1].chat(message))
    chunked = asyncio.create_task(completion_lines(users[2], message))
    completed = asyncio.create_task(completion(users[3], message))
    await eventually(lambda: _running(pair[0], 4))
    await kill(postgres.child)

    *events, last = await streamed
    turn_id = events[0].data["turn_id"]
    assert "".join(event.data["delta"] for event in events) == WHOLE
    assert (last.id, last.name, last.data) == (None, "interrupted", {"code": "finish_pending", "turn_id": turn_id})
    chunked_id, lines = await chunked
    error = orjson.loads(lines[-1])["error"]
    assert (error["code"], error["turn_id"]) == ("finish_pending", chunked_id)
    answers = [await whole, await completed]
    assert [(r.status_code, r.json()["error"]["code"]) for r in answers] == [(504, "upstream_timeout")] * 2
    assert [r.headers["x-should-retry"] for r in answers] == ["false"] * 2
    unavailable = await users[0].request("GET", f"/api/v1/chat/turns/{turn_id}/stream")
    assert (unavailable.status_code, unavailable.json()["code"]) == (503, "dependency_unavailable")

    await postgres.start()
    whole_id, completed_id = (response.headers["x-turn-id"] for response in answers)
    turn_ids = [turn_id, whole_id, chunked_id, completed_id]
    assert len(set(turn_ids)) == 4
    for user, found in zip(users, turn_ids, strict=True):
        await _ends_once(pair, user, found)
    rest = await pair[1].as_seen_by(users[0]).resumed(turn_id, events[-1].id)
    assert [event.data["status"] for event in rest] == ["completed"]
    assert await users[0].resumed(turn_id) == [*events, *rest]
    assert len(await provider.journal(contains=mark)) == 4


async def test_an_unresponsive_postgres_delays_clients_no_longer(
    open_replica: OpenReplica, postgres: EmbeddedPostgres
) -> None:
    clock = asyncio.get_running_loop().time
    dsn = postgres.databases.url("chat")
    body = {"message": f"Hi [[fake tokens={TOKENS} rate=20]]"}
    async with (
        TcpProxy("127.0.0.1", postgres.port) as proxy,
        open_replica(dsn) as other,
        open_replica(
            dsn.replace(f":{postgres.port}/", f":{proxy.port}/"), finish_pending_after=PENDING_AFTER
        ) as replica,
    ):
        user = replica.user()
        streamed = asyncio.create_task(user.streamed("/api/v1/chat/stream", json=body))
        await eventually(lambda: _running(other, 1))
        async with proxy.with_toxics(Toxics(black_hole=True)):
            began = clock()
            *events, last = await streamed
            took = clock() - began
            assert proxy.counters.swallowed > 0
        proxy.cut()
        assert (last.name, last.data["code"]) == ("interrupted", "finish_pending")
        assert took < COMMAND_TIMEOUT, "clients waited for the statement to time out"
        await _ends_once((other, other), other.as_seen_by(user), events[0].data["turn_id"])


async def _ends_once(pair: ReplicaPair, user: ChatUser, turn_id: str) -> None:
    async def ended() -> Any:
        turn = await user.turn(turn_id)
        return turn if turn["status"] != "running" else None

    turn = await eventually(ended, within=20)
    assert (turn["status"], turn["finish_reason"]) == ("completed", "stop")
    shown = await pair[1].as_seen_by(user).resumed(turn_id)
    assert "".join(event.data["delta"] for event in shown) == WHOLE
    names = [row["name"].rpartition(".")[2] for row in await pair[0].outbox(turn["conversation_id"])]
    assert names == ["started", "completed"]


async def _running(replica: ChatReplica, count: int) -> bool:
    return bool(await replica.pool.fetchval("SELECT count(*) FROM turns WHERE status = 'running'") == count)
