"""Replication of turn logs, with and without the log store and the lease."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from chat.model import LogEntry
from chat.running.lease import LEASE_LENGTH
from chat.running.turn_log import TurnLog
from chat.running.turn_log_store import LogItem
from chat_testing.bench import EngineBench
from chat_testing.turns import ended_turn, make_turn
from parley_testing import eventually


@pytest.fixture
async def bench() -> AsyncIterator[EngineBench]:
    found = EngineBench()
    await found.lease.renew()
    task = asyncio.create_task(found.replicator.run())
    yield found
    task.cancel()
    await asyncio.wait({task})


def opened_log(bench: EngineBench) -> TurnLog:
    log = TurnLog(make_turn())
    bench.replicator.opened(log)
    return log


def append(bench: EngineBench, log: TurnLog, *texts: str) -> None:
    for text in texts:
        log.append(LogEntry(text))
        bench.replicator.grown(log)


async def changed_within(log: TurnLog, seconds: float) -> bool:
    with log.reading(seconds) as reader:
        return await reader.changed()


async def test_entries_are_shown_once_they_are_replicated(bench: EngineBench) -> None:
    log = opened_log(bench)
    append(bench, log, "a", "b")
    assert log.shown == 0
    await eventually(lambda: log.shown == 2)
    assert bench.logs.positions(log.turn.id) == [(1, 1), (1, 2), (1, 3)]


async def test_entries_that_arrive_during_a_commit_share_the_next_one(bench: EngineBench) -> None:
    log = opened_log(bench)
    for number in range(200):
        append(bench, log, str(number))
        await asyncio.sleep(0)
    await eventually(lambda: log.shown == 200)
    assert bench.logs.appends < 50


async def test_a_lost_log_is_replicated_again_from_its_beginning(bench: EngineBench) -> None:
    log = opened_log(bench)
    append(bench, log, "a", "b")
    await eventually(lambda: log.shown == 2)
    bench.logs.logs.clear()
    append(bench, log, "c")
    await eventually(lambda: log.shown == 3)
    assert bench.logs.positions(log.turn.id) == [(1, 1), (1, 2), (1, 3), (1, 4)]


async def test_what_a_restarted_store_has_lost_is_replicated_again(bench: EngineBench) -> None:
    log = opened_log(bench)
    append(bench, log, *"abcd")
    await eventually(lambda: log.shown == 4)
    bench.logs.unavailable = True
    append(bench, log, "e")
    await eventually(lambda: log.shown == 5)
    del bench.logs.logs[log.turn.id][-2:]
    bench.logs.unavailable = False
    await eventually(lambda: len(bench.logs.positions(log.turn.id)) == 6)
    assert bench.logs.positions(log.turn.id) == [(1, seq) for seq in range(1, 7)]
    assert "".join(item.entry.text for item in await bench.logs.read(log.turn.id) if item.entry) == "abcde"


async def test_a_higher_epoch_fences_the_turn_and_nothing_more_is_shown(bench: EngineBench) -> None:
    log = opened_log(bench)
    append(bench, log, "a")
    await eventually(lambda: log.shown == 1)
    await bench.logs.seal(log.turn.id, 2)
    append(bench, log, "b")
    await eventually(lambda: bench.fenced == [log.turn.id])
    assert log.shown == 1


async def test_an_append_whose_reply_was_lost_is_not_repeated(bench: EngineBench) -> None:
    log = opened_log(bench)
    append(bench, log, "a")
    await eventually(lambda: log.shown == 1)
    bench.logs.logs[log.turn.id].append(LogItem(1, 3, LogEntry("b")))
    append(bench, log, "b", "c")
    await eventually(lambda: log.shown == 3)
    assert bench.fenced == []
    assert bench.logs.positions(log.turn.id) == [(1, 1), (1, 2), (1, 3), (1, 4)]


async def test_without_the_log_store_entries_are_shown_while_the_lease_holds(bench: EngineBench) -> None:
    log = opened_log(bench)
    bench.logs.unavailable = True
    append(bench, log, "a")
    await eventually(lambda: log.shown == 1)
    bench.now = LEASE_LENGTH + 1
    append(bench, log, "b")
    await changed_within(log, 0.2)
    assert log.shown == 1
    await bench.lease.renew()
    await eventually(lambda: log.shown == 2)
    bench.logs.unavailable = False
    await eventually(lambda: bench.logs.positions(log.turn.id) == [(1, 1), (1, 2), (1, 3)])


async def test_without_the_lease_a_lost_log_is_not_started_again(bench: EngineBench) -> None:
    log = opened_log(bench)
    append(bench, log, "a")
    await eventually(lambda: log.shown == 1)
    bench.logs.logs.clear()
    bench.now = LEASE_LENGTH + 1
    append(bench, log, "b")
    await changed_within(log, 0.2)
    assert (log.shown, bench.logs.logs) == (1, {})


async def test_the_log_of_an_ended_turn_is_marked_as_ended(bench: EngineBench) -> None:
    log = opened_log(bench)
    append(bench, log, "a")
    await eventually(lambda: log.shown == 1)
    log.end(ended_turn(log.turn, "a"))
    bench.replicator.closed(log)
    await eventually(lambda: bench.logs.logs[log.turn.id][-1].end)


async def test_entries_of_an_answer_that_is_awaited_as_a_whole_share_a_later_commit(bench: EngineBench) -> None:
    log = opened_log(bench)
    await eventually(lambda: bench.logs.positions(log.turn.id) == [(1, 1)])
    waiting = asyncio.create_task(log.wait_closed())
    await eventually(lambda: log.is_only_awaited)
    appends = bench.logs.appends
    for number in range(50):
        append(bench, log, str(number))
        await asyncio.sleep(0)
    await eventually(lambda: log.shown == 50)
    assert bench.logs.appends == appends + 1
    log.end(ended_turn(log.turn))
    await waiting


async def test_a_reader_that_follows_an_awaited_answer_gets_the_next_entry_at_once(bench: EngineBench) -> None:
    log = opened_log(bench)
    waiting = asyncio.create_task(log.wait_closed())
    await eventually(lambda: log.is_only_awaited)
    with log.reading(60):
        append(bench, log, "a")
        assert log in bench.replicator._dirty
    log.end(ended_turn(log.turn))
    await waiting
