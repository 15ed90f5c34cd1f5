"""Logs of turns that run on another replica."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest

from chat.model import LogEntry, Turn
from chat.running.remote_logs import RemoteLogs
from chat.running.turn_log_store import LogAppend, LogEnd
from chat.running.turn_view import TurnView
from chat_testing.log_store import InMemoryLogStore
from chat_testing.turn_store import InMemoryTurnStore
from chat_testing.turns import ended_turn, make_turn
from parley_testing import eventually


@dataclass
class RemoteBench:
    turns: InMemoryTurnStore = field(default_factory=InMemoryTurnStore)
    logs: InMemoryLogStore = field(default_factory=InMemoryLogStore)

    def __post_init__(self) -> None:
        self.remote_logs = RemoteLogs(self.logs, self.turns)

    async def running_turn(self, *texts: str) -> Turn:
        turn = make_turn()
        self.turns.turns[turn.id] = turn
        entries = [None, *(LogEntry(text) for text in texts)]
        await self.logs.append([LogAppend(turn.id, 1, 1, entries, create=True)])
        return turn


@pytest.fixture
async def bench() -> AsyncIterator[RemoteBench]:
    found = RemoteBench()
    task = asyncio.create_task(found.remote_logs.run())
    yield found
    task.cancel()
    await asyncio.wait({task})


async def test_an_opened_log_has_the_stored_entries_and_receives_new_ones(bench: RemoteBench) -> None:
    turn = await bench.running_turn("a", "b")
    async with bench.remote_logs.open(turn) as (log, complete):
        assert (complete, log.shown) == (True, 2)
        await bench.logs.append([LogAppend(turn.id, 1, 4, [LogEntry("c")])])
        await eventually(lambda: log.shown == 3)
        assert await bench.logs.is_read(turn.id)


async def test_a_log_ends_with_the_row_of_its_turn(bench: RemoteBench) -> None:
    turn = await bench.running_turn("a")
    async with bench.remote_logs.open(turn) as (log, _):
        bench.turns.turns[turn.id] = ended_turn(turn, "a", "b")
        await bench.logs.mark_ended([LogEnd(turn.id, 1, 4)])
        await eventually(lambda: log.state == "ended")
        assert [entry.text for entry in log.entries] == ["a", "b"]


async def test_a_log_whose_row_is_gone_is_abandoned(bench: RemoteBench) -> None:
    turn = await bench.running_turn("a")
    async with bench.remote_logs.open(turn) as (log, _):
        bench.turns.turns.clear()
        await bench.logs.mark_ended([LogEnd(turn.id, 1, 3)])
        await eventually(lambda: log.state == "abandoned")


async def test_a_log_of_a_recovered_turn_waits_for_its_row(bench: RemoteBench) -> None:
    turn = await bench.running_turn("a")
    async with bench.remote_logs.open(turn) as (log, _):
        await bench.logs.seal(turn.id, 2)
        bench.turns.turns[turn.id] = replace(ended_turn(turn, "a"), epoch=2, status="incomplete")
        await eventually(lambda: log.state == "ended")
        assert log.turn.status == "incomplete"


async def test_a_log_that_the_store_has_lost_is_not_complete(bench: RemoteBench) -> None:
    turn = await bench.running_turn("a")
    bench.logs.logs.clear()
    async with bench.remote_logs.open(turn) as (log, complete):
        assert (complete, log.shown) == (False, 0)


async def test_a_draining_replica_dismisses_open_and_new_logs(bench: RemoteBench) -> None:
    turn, later = await bench.running_turn("a"), await bench.running_turn("b")
    async with bench.remote_logs.open(turn) as (log, _):
        bench.remote_logs.dismiss()
        assert log.state == "dismissed"
        async with bench.remote_logs.open(later) as (late, _):
            assert late.state == "dismissed"


async def test_the_view_of_a_remote_turn_has_the_stored_entries(bench: RemoteBench) -> None:
    turn = await bench.running_turn("a", "b")
    assert await bench.remote_logs.view(turn) == TurnView(turn, "ab", None, 3)
    bench.logs.unavailable = True
    assert await bench.remote_logs.view(turn) == TurnView(turn, None, None, 1)
