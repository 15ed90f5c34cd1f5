"""Outages of Redis and Postgres: streams stay a gap-free prefix of the stored answer."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID

import pytest

from chat.storage.log_format import key_of
from chat_testing.replica import ChatReplica, OpenReplica, ReplicaPair, own_postgres
from fake_provider.process import FakeProvider
from parley.ids import new_id
from parley.storage.redis import open_redis
from parley_embedded.valkey.server import EmbeddedValkey
from parley_testing import eventually
from parley_testing.faults.processes import frozen, kill

pytestmark = pytest.mark.integration

RESTART_TURNS = 20
"""Turns that run while Postgres restarts."""

TURN = {"message": "Hello [[fake tokens=80 rate=20]]"}
REPLICATION_FAILURES = "chat_log_copy_failures_total"
WHOLE = " ".join(f"t{i}" for i in range(1, 81))


async def watch_on_both(pair: ReplicaPair, fault: Callable[[], Awaitable[None]]) -> None:
    """Stream on both replicas during a fault; both streams must have the same, complete answer."""
    here = pair[0].user()
    there = pair[1].as_seen_by(here)
    async with here.stream("/api/v1/chat/stream", json=TURN) as (response, found):
        turn_id = response.headers["x-turn-id"]
        first = [await anext(found) for _ in range(5)]
        other = asyncio.create_task(there.resumed(turn_id))
        first += [await anext(found) for _ in range(10)]
        await fault()
        first += [event async for event in found]
        seen = await asyncio.wait_for(other, 20)
    assert "".join(event.data["delta"] for event in first) == WHOLE
    assert [event.id for event in first] == list(range(1, 83))
    assert seen == first
    assert await there.resumed(turn_id) == first


async def test_a_flushed_redis_leaves_no_gap(pair: ReplicaPair, valkey: EmbeddedValkey) -> None:
    async def flush() -> None:
        async with open_redis(valkey.url, timeout=20) as client:
            assert await client.dbsize() > 0
            await client.flushall()

    await watch_on_both(pair, flush)


async def test_a_redis_that_restarts_empty_leaves_no_gap(pair: ReplicaPair, valkey: EmbeddedValkey) -> None:
    async def restart() -> None:
        failures = pair[0].sample(REPLICATION_FAILURES)
        await kill(valkey.child)
        await eventually(lambda: pair[0].sample(REPLICATION_FAILURES) > failures)
        await valkey.start()

    await watch_on_both(pair, restart)


async def test_without_redis_turns_stream_and_are_cancelled_on_another_replica(
    pair: ReplicaPair, valkey: EmbeddedValkey
) -> None:
    here = pair[0].user()
    there = pair[1].as_seen_by(here)
    await kill(valkey.child)
    try:
        events = await here.streamed("/api/v1/chat/stream", json={"message": "Hi [[fake tokens=20 rate=40]]"})
        assert events[-1].data["status"] == "completed"
        opened = await here.chat("Hi [[fake tokens=500 rate=20]]", headers={"Prefer": "respond-async"})
        response = await there.request("POST", f"/api/v1/chat/turns/{opened.json()['id']}/cancel")
        assert (response.status_code, response.json()["status"]) == (200, "cancelled")
    finally:
        await valkey.start()


async def test_streams_continue_while_redis_is_frozen(pair: ReplicaPair, valkey: EmbeddedValkey) -> None:
    here = pair[0].user()
    async with here.stream("/api/v1/chat/stream", json=TURN) as (response, found):
        seen = [await anext(found) for _ in range(10)]
        async with open_redis(valkey.url, timeout=20) as client:
            # The store may still count as unavailable after the test before this one.
            await eventually(lambda: client.exists(key_of(UUID(response.headers["x-turn-id"]))))
        failures = pair[0].sample(REPLICATION_FAILURES)
        async with frozen(valkey.child):
            # These arrive while Redis is frozen only because appends time out.
            seen += [await anext(found) for _ in range(30)]
            assert pair[0].sample(REPLICATION_FAILURES) > failures
        seen += [event async for event in found]
    assert "".join(event.data["delta"] for event in seen) == WHOLE


async def test_a_postgres_that_restarts_loses_no_turn(
    open_replica: OpenReplica, tmp_path: Path, provider: FakeProvider
) -> None:
    mark = str(new_id())
    async with own_postgres(tmp_path, tcp=False) as postgres:
        dsn = postgres.databases.url("chat")
        async with open_replica(dsn) as one, open_replica(dsn) as two:
            users = [(one, two)[i % 2].user() for i in range(RESTART_TURNS)]
            body = {"message": f"{mark} [[fake tokens=60 rate=20]]"}
            running = [asyncio.create_task(p.streamed("/api/v1/chat/stream", json=body)) for p in users]
            await eventually(lambda: _count(one, "running", RESTART_TURNS), within=20)
            await kill(postgres.child)
            refused = await one.user().chat("Hi")
            assert (refused.status_code, refused.json()["code"]) == (503, "dependency_unavailable")
            await eventually(lambda: _all_answered(provider, mark, RESTART_TURNS), within=20)
            await postgres.start()
            for events in await asyncio.gather(*running):
                assert events[-1].data["status"] == "completed"
                assert "".join(e.data["delta"] for e in events).endswith("t60")
            names = await one.pool.fetch("SELECT name, count(*) AS count FROM outbox GROUP BY name")
            assert {row["name"]: row["count"] for row in names} == {
                "conversation.turn.started": RESTART_TURNS,
                "conversation.turn.completed": RESTART_TURNS,
            }
        assert len(await provider.journal(contains=mark)) == RESTART_TURNS


async def _all_answered(provider: FakeProvider, mark: str, expected: int) -> bool:
    """Tell whether the provider has ended all its answers, whose turns cannot be stored yet."""
    return sum(call["ended"] is not None for call in await provider.journal(contains=mark)) == expected


async def _count(replica: ChatReplica, status: str, expected: int) -> bool:
    found = await replica.pool.fetchval("SELECT count(*) FROM turns WHERE status = $1", status)
    return bool(found == expected)
