"""Killed processes: every accepted turn ends once, and streams are a prefix of the stored answer."""

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import AsyncIterator
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from chat_testing.process import SpawnChat
from chat_testing.replica import ChatReplica, NewDatabase, OpenReplica
from chat_testing.users import ChatUser, StreamEvent
from fake_provider.process import FakeProvider
from parley.ids import new_id
from parley.storage.postgres import open_pool
from parley.storage.redis import open_redis
from parley_testing import eventually
from parley_testing.backends.shared_servers import SharedBackends
from parley_testing.faults.processes import kill, resume, state_of, stop

pytestmark = pytest.mark.integration

RECOVERED_WITHIN = 25.0


@pytest.fixture(scope="module")
async def survivor(open_replica: OpenReplica, new_database: NewDatabase) -> AsyncIterator[ChatReplica]:
    """A replica that lives on, and its database."""
    dsn = await new_database()
    async with open_replica(dsn) as replica, open_pool(dsn, size=4) as pool:
        replica.dsn, replica.pool = dsn, pool
        yield replica


@pytest.mark.chaos
@pytest.mark.parametrize("rounds", [20])
async def test_every_turn_of_a_killed_process_ends_once_with_the_shown_entries(
    survivor: ChatReplica, spawn: SpawnChat, provider: FakeProvider, rounds: int
) -> None:
    """Ten turns a kill; the seed of the moments is printed."""
    seed = random.randrange(1_000_000)
    print(f"seed {seed}, {rounds} kills")  # noqa: T201
    moments, mark = random.Random(seed), str(new_id())
    watched = [pair for _ in range(rounds) for pair in await _round(survivor, spawn, mark, moments.uniform(0.05, 2))]
    assert len(watched) == 10 * rounds
    for user, (turn_id, shown) in watched:
        if turn_id is None:
            continue
        there = survivor.as_seen_by(user)
        turn = await eventually(partial(there.ended_turn, turn_id), within=RECOVERED_WITHIN)
        whole = await there.resumed(turn_id)
        rest = await there.resumed(turn_id, shown[-1].id) if shown else whole
        assert whole in ([*shown, *rest], shown)
        await _once(survivor, turn["conversation_id"])
        whole_when_shown = bool(shown) and shown[-1].data["finished"]
        assert turn["status"] in ({"completed"} if whole_when_shown else {"incomplete", "failed", "completed"})
    assert await survivor.pool.fetchval("SELECT count(*) FROM turns WHERE status = 'running'") == 0
    calls = await provider.journal(contains=mark)
    assert len({call["request"]["messages"][-1]["content"] for call in calls}) == len(calls)


async def _round(survivor: ChatReplica, spawn: SpawnChat, mark: str, moment: float) -> list[Any]:
    """Kill a process with ten running turns; returns each user with the turn and the received events."""
    async with spawn(survivor.dsn, survivor.pool) as victim:
        users = [victim.user() for _ in range(10)]
        watching = [
            asyncio.create_task(_watch(user, f"{mark} {moment}", i, "tokens=30 rate=20"))
            for i, user in enumerate(users)
        ]
        await asyncio.sleep(moment)
        await kill(victim.child)
        return list(zip(users, await asyncio.gather(*watching), strict=True))


async def test_an_interrupted_turn_is_regenerated_on_another_replica(survivor: ChatReplica, spawn: SpawnChat) -> None:
    async with spawn(survivor.dsn, survivor.pool) as victim:
        user = victim.user()
        seen: list[StreamEvent] = []
        watching = asyncio.create_task(_watch(user, str(new_id()), 0, "tokens=20 rate=10", seen))
        await eventually(lambda: _has_text(seen))
        await kill(victim.child)
        turn_id, _ = await watching
    there = survivor.as_seen_by(user)
    turn = await eventually(partial(there.ended_turn, turn_id), within=RECOVERED_WITHIN)
    assert (turn["status"], turn["finish_reason"]) == ("incomplete", "interrupted")
    again = await there.chat(None, regenerate=turn_id, conversation_id=turn["conversation_id"])
    assert (again.status_code, again.json()["status"]) == (200, "completed")


FAILPOINTS = (
    "turns.admit:before:2",
    "turns.admit:after:2",
    "logs.append:before:6",
    "logs.append:after:6",
    "turns.finish:before:1",
    "turns.finish:after:1",
    "logs.mark_ended:before:1",
    "logs.mark_ended:after:1",
)


RECOVERING = (
    "runners.take_over:found:1",
    "logs.seal:before:1",
    "logs.seal:after:1",
    "turns.finish:before:1",
    "turns.finish:after:1",
)


@pytest.mark.chaos
async def test_a_crash_between_two_steps_leaves_each_turn_ended_once(
    survivor: ChatReplica, spawn: SpawnChat, provider: FakeProvider
) -> None:
    deaths = [_die_and_check(survivor, spawn, provider, failpoint) for failpoint in FAILPOINTS]
    await asyncio.gather(*deaths)


async def _die_and_check(survivor: ChatReplica, spawn: SpawnChat, provider: FakeProvider, failpoint: str) -> None:
    mark = str(new_id())
    async with spawn(survivor.dsn, survivor.pool, FAILPOINT=failpoint) as victim:
        users = [victim.user() for _ in range(3)]
        seen = await asyncio.gather(*(_watch(user, mark, i, "tokens=15 rate=30") for i, user in enumerate(users)))
        await eventually(lambda: state_of(victim.child.pid) is None)
    for user, (turn_id, shown) in zip(users, seen, strict=True):
        there = survivor.as_seen_by(user)
        rows = await eventually(partial(_all_ended, survivor, user.id), within=RECOVERED_WITHIN)
        if turn_id is None:
            assert len(rows) <= 1, failpoint
            continue
        whole = await there.resumed(turn_id)
        assert whole[: len(shown)] == shown, failpoint
        await _once(survivor, (await there.turn(turn_id))["conversation_id"])
    assert len(await provider.journal(contains=mark)) <= 3


@pytest.mark.chaos
async def test_a_crash_during_a_recovery_leaves_each_turn_ended_once(
    new_database: NewDatabase,
    spawn: SpawnChat,
    open_replica: OpenReplica,
    provider: FakeProvider,
) -> None:
    deaths = [_die_recovering(await new_database(), spawn, open_replica, provider, point) for point in RECOVERING]
    await asyncio.gather(*deaths)


async def _die_recovering(
    dsn: str, spawn: SpawnChat, open_replica: OpenReplica, provider: FakeProvider, failpoint: str
) -> None:
    mark = str(new_id())
    async with open_pool(dsn, size=2) as rows:
        async with spawn(dsn, rows) as first, spawn(dsn, rows, FAILPOINT=failpoint) as second:
            users = [first.user() for _ in range(3)]
            parts: list[list[Any]] = [[] for _ in users]
            watching = [asyncio.create_task(_watch(user, mark, i, seen=parts[i])) for i, user in enumerate(users)]
            await eventually(lambda: all(map(_has_text, parts)), within=RECOVERED_WITHIN, message="no text was shown")
            await kill(first.child)
            seen = await asyncio.gather(*watching)
            await eventually(lambda: state_of(second.child.pid) is None, within=RECOVERED_WITHIN, message=failpoint)
        async with open_replica(dsn) as third:
            for user, (turn_id, shown) in zip(users, seen, strict=True):
                there = third.as_seen_by(user)
                turn = await eventually(partial(there.ended_turn, turn_id), within=RECOVERED_WITHIN, message=failpoint)
                assert turn["status"] == "incomplete", failpoint
                whole = await there.resumed(turn_id)
                assert whole[: len(shown)] == shown, failpoint
                await _once(third, turn["conversation_id"])
    assert len(await provider.journal(contains=mark)) == 3


async def test_a_runner_that_resumes_after_its_lease_writes_nothing(
    survivor: ChatReplica, spawn: SpawnChat, backends: SharedBackends
) -> None:
    async with (
        spawn(survivor.dsn, survivor.pool) as victim,
        open_redis(await backends.redis_url(), timeout=20) as redis,
    ):
        user = victim.user()
        there = survivor.as_seen_by(user)
        seen: list[StreamEvent] = []
        watched = asyncio.create_task(_watch(user, str(new_id()), 0, "tokens=400 rate=20", seen))
        await eventually(lambda: _has_text(seen))
        await stop(victim.child)
        turn_id = str(await survivor.pool.fetchval("SELECT id FROM turns WHERE user_id = $1", user.id))
        before = await eventually(partial(there.ended_turn, turn_id), within=RECOVERED_WITHIN)
        whole = await there.resumed(turn_id)
        sealed = await redis.xrange(f"parley:turn:{turn_id}")
        assert sealed, "there is nothing that the runner could have altered"
        row = await survivor.pool.fetchrow("SELECT * FROM turns WHERE user_id = $1", user.id)
        await resume(victim.child)
        _, shown = await asyncio.wait_for(watched, 10)
        assert shown == whole[: len(shown)]
        assert await redis.xrange(f"parley:turn:{turn_id}") == sealed
        assert await survivor.pool.fetchrow("SELECT * FROM turns WHERE user_id = $1", user.id) == row
        assert await there.turn(turn_id) == before
        assert await there.resumed(turn_id) == whole
        await _once(survivor, before["conversation_id"])


@pytest.mark.chaos
async def test_a_drained_process_ends_its_turns_and_exits_cleanly(survivor: ChatReplica, spawn: SpawnChat) -> None:
    async with spawn(survivor.dsn, survivor.pool, DRAIN_TIMEOUT="4") as victim:
        user = victim.user()
        seen: list[StreamEvent] = []
        watched = asyncio.create_task(_watch(user, str(new_id()), 0, "tokens=2000 rate=20", seen))
        await eventually(lambda: _has_text(seen))
        os.kill(victim.child.pid, signal.SIGTERM)
        turn_id, shown = await asyncio.wait_for(watched, 15)
        assert shown[-1].data["finished"] is True
        assert (shown[-1].data["status"], shown[-1].data["finish_reason"]) == ("incomplete", "interrupted")
        await eventually(lambda: victim.child.exit_status == 0, within=20)
        assert await survivor.as_seen_by(user).resumed(turn_id) == shown


async def _watch(
    user: ChatUser, mark: str, number: int, knobs: str = "tokens=80 rate=20", seen: list[Any] | None = None
) -> tuple[Any, list[Any]]:
    """Stream a turn until it ends or its process dies; returns the turn ID and the events, also in ``seen``."""
    seen = [] if seen is None else seen
    turn_id = None
    with contextlib.suppress(Exception):
        body = {"message": f"{mark} {number} [[fake {knobs}]]"}
        async with user.stream("/api/v1/chat/stream", json=body) as (response, found):
            turn_id = response.headers["x-turn-id"]
            async for event in found:
                seen += [event]
    return turn_id, seen


def _has_text(seen: list[Any]) -> bool:
    return any(event.data.get("delta") for event in seen)


async def _all_ended(replica: ChatReplica, user_id: UUID) -> Any:
    rows = await replica.pool.fetch("SELECT status FROM turns WHERE user_id = $1", user_id)
    return None if any(row["status"] == "running" for row in rows) else rows or [()]


async def _once(replica: ChatReplica, conversation_id: str) -> None:
    names = [row["name"].rpartition(".")[2] for row in await replica.outbox(conversation_id)]
    assert names.count("started") == 1
    assert len(names) == 2
