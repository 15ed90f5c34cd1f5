"""Lease, copy and log, on stores that tests can break."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry

from chat.metrics import ChatMetrics
from chat.model import LogEntry, Turn
from chat.running.lease import LEASE_LENGTH, RunnerLease
from chat.running.log_replication import LogReplicator
from chat.running.log_store import AppendResult, LogAppend, LogStoreUnavailable
from chat.running.turn_log import TurnLog
from chat.running.turn_updates import (
    StreamIdle,
    StreamInterrupted,
    StreamStarted,
    TurnDelta,
    TurnFinished,
    from_log,
    from_row,
)
from parley.errors import DependencyUnavailable, InvalidCursor
from parley.ids import new_id
from parley_testing import eventually


def ended_turn(turn: Turn, *texts: str) -> Turn:
    return replace(turn, status="completed", finish_reason="stop", entries=tuple(LogEntry(text) for text in texts))


class Runners:
    """A RunnerStore that can be away."""

    def __init__(self) -> None:
        self.away = False
        self.cancelled: list[UUID] = []

    async def renew_lease(self, runner_id: UUID, lease: float) -> list[UUID]:
        if self.away:
            raise DependencyUnavailable
        return self.cancelled

    async def release_lease(self, runner_id: UUID) -> None:
        return

    async def take_over(self, runner_id: UUID, running: Collection[UUID], limit: int) -> list[Turn]:
        return []

    async def get_turns(self, turn_ids: Collection[UUID]) -> dict[UUID, Turn]:
        return {}


class Streams:
    """Copies in a dictionary, which can be away, lost or sealed."""

    def __init__(self) -> None:
        self.away = False
        self.appends = 0
        self.copies: dict[UUID, list[tuple[int, int]]] = {}

    def _check(self) -> None:
        if self.away:
            raise LogStoreUnavailable

    async def append(self, batches: Sequence[LogAppend]) -> list[AppendResult]:
        self._check()
        self.appends += 1
        return [self._append(batch) for batch in batches]

    def _append(self, batch: LogAppend) -> AppendResult:
        copy = self.copies.get(batch.turn_id)
        if copy is None:
            if not batch.create:
                return "missing"
            copy = self.copies[batch.turn_id] = []
        for offset in range(len(batch.entries)):
            identifier = (batch.epoch, batch.seq + offset)
            if copy and copy[-1] >= identifier:
                return "refused"
            copy.append(identifier)
        return "appended"

    async def mark_ended(self, turn_id: UUID, epoch: int, seq: int) -> None:
        self._check()

    async def newest_position(self, turn_id: UUID) -> tuple[int, int] | None:
        self._check()
        copy = self.copies.get(turn_id)
        return copy[-1] if copy else None

    async def ping(self) -> None:
        self._check()


class Bench:
    """A SharedCopy under test."""

    def __init__(self) -> None:
        self.now = 0.0
        self.streams, self.runners = Streams(), Runners()
        self.fenced: list[UUID] = []
        self.heard: list[UUID] = []
        self.lease = RunnerLease(self.runners, new_id(), self.heard.append, clock=lambda: self.now)
        metrics = ChatMetrics(CollectorRegistry())
        self.copy = LogReplicator(self.streams, self.lease, self.fenced.append, metrics)  # type: ignore[arg-type]

    def grow(self, log: TurnLog, *texts: str) -> None:
        for text in texts:
            log.append(LogEntry(text))
            self.copy.grown(log)


@pytest.fixture
async def bench() -> Any:
    found = Bench()
    await found.lease.renew()
    task = asyncio.create_task(found.copy.run())
    yield found
    task.cancel()
    await asyncio.wait({task})


async def changed_within(log: TurnLog, seconds: float) -> bool:
    with log.reading(seconds) as reader:
        return await reader.changed()


async def test_entries_are_shown_when_their_copy_is_safe(bench: Bench, make_turn: Any) -> None:
    log = TurnLog(make_turn())
    bench.copy.opened(log)
    bench.grow(log, "a", "b")
    assert log.shown == 0
    await eventually(lambda: log.shown == 2)
    assert bench.streams.copies[log.turn.id] == [(1, 1), (1, 2), (1, 3)]


async def test_what_comes_soon_after_a_commit_shares_the_next_one(bench: Bench, make_turn: Any) -> None:
    log = TurnLog(make_turn())
    bench.copy.opened(log)
    for number in range(200):
        bench.grow(log, str(number))
        await asyncio.sleep(0)
    await eventually(lambda: log.shown == 200)
    assert bench.streams.appends < 50


async def test_a_lost_copy_is_written_again_from_the_list(bench: Bench, make_turn: Any) -> None:
    log = TurnLog(make_turn())
    bench.copy.opened(log)
    bench.grow(log, "a", "b")
    await eventually(lambda: log.shown == 2)
    bench.streams.copies.clear()
    bench.grow(log, "c")
    await eventually(lambda: log.shown == 3)
    assert bench.streams.copies[log.turn.id] == [(1, 1), (1, 2), (1, 3), (1, 4)]


async def test_a_higher_epoch_ends_the_runner_and_nothing_more_is_shown(bench: Bench, make_turn: Any) -> None:
    log = TurnLog(make_turn())
    bench.copy.opened(log)
    bench.grow(log, "a")
    await eventually(lambda: log.shown == 1)
    bench.streams.copies[log.turn.id].append((2, 0))
    bench.grow(log, "b")
    await eventually(lambda: bench.fenced == [log.turn.id])
    assert log.shown == 1


async def test_an_append_that_landed_though_it_seemed_lost_is_not_written_twice(bench: Bench, make_turn: Any) -> None:
    log = TurnLog(make_turn())
    bench.copy.opened(log)
    bench.grow(log, "a")
    await eventually(lambda: log.shown == 1)
    bench.streams.copies[log.turn.id] += [(1, 3)]
    bench.grow(log, "b", "c")
    await eventually(lambda: log.shown == 3)
    assert bench.fenced == []
    assert bench.streams.copies[log.turn.id] == [(1, 1), (1, 2), (1, 3), (1, 4)]


async def test_without_the_store_entries_are_shown_while_the_lease_holds(bench: Bench, make_turn: Any) -> None:
    log = TurnLog(make_turn())
    bench.copy.opened(log)
    bench.streams.away = True
    bench.grow(log, "a")
    await eventually(lambda: log.shown == 1)
    bench.now = LEASE_LENGTH + 1
    bench.grow(log, "b")
    await changed_within(log, 0.7)
    assert log.shown == 1
    await bench.lease.renew()
    await eventually(lambda: log.shown == 2)
    bench.streams.away = False
    await eventually(lambda: bench.streams.copies.get(log.turn.id) == [(1, 1), (1, 2), (1, 3)])


async def test_without_the_lease_a_lost_copy_is_not_begun_again(bench: Bench, make_turn: Any) -> None:
    log = TurnLog(make_turn())
    bench.copy.opened(log)
    bench.grow(log, "a")
    await eventually(lambda: log.shown == 1)
    bench.streams.copies.clear()
    bench.now = LEASE_LENGTH + 1
    bench.grow(log, "b")
    await changed_within(log, 0.3)
    assert (log.shown, bench.streams.copies) == (1, {})


async def test_a_lease_is_seasoned_after_one_length_without_failure() -> None:
    bench = Bench()
    assert not bench.lease.held()
    await bench.lease.renew()
    assert bench.lease.held()
    for _ in range(9):
        assert not bench.lease.stable()
        bench.now += 1
        await bench.lease.renew()
    assert bench.lease.stable()
    bench.runners.away = True
    await bench.lease.renew()
    assert bench.lease.held()
    assert not bench.lease.stable()
    bench.now += LEASE_LENGTH
    assert not bench.lease.held()


async def test_a_beat_brings_cancels() -> None:
    bench = Bench()
    bench.runners.cancelled = [new_id()]
    await bench.lease.renew()
    assert bench.heard == bench.runners.cancelled


async def test_a_cursor_gives_what_is_behind_it_then_pings_then_the_end(make_turn: Any) -> None:
    turn = make_turn()
    log = TurnLog(turn)
    log.append(LogEntry("a"))
    log.append(LogEntry("b"))
    log.show(2)
    steps = from_log(log, 0, idle_after=0.01)
    assert await anext(steps) == StreamStarted(turn)
    assert await anext(steps) == TurnDelta(2, [LogEntry("a"), LogEntry("b")])
    assert await anext(steps) == StreamIdle()
    ended = ended_turn(turn, "a", "b")
    log.end(ended)
    assert await anext(steps) == TurnFinished(4, ended)
    assert [step async for step in from_row(ended, 2)] == [TurnDelta(3, (LogEntry("b"),)), TurnFinished(4, ended)]
    assert [step async for step in from_row(ended, 4)] == [TurnFinished(4, ended)]
    with pytest.raises(InvalidCursor):
        _ = [step async for step in from_row(ended, 5)]


async def test_a_cursor_beyond_a_lost_log_still_ends(make_turn: Any) -> None:
    ended = replace(ended_turn(make_turn(), "a"), log_lost=True, status="incomplete")
    assert [step async for step in from_row(ended, 40)] == [TurnFinished(3, ended)]


async def test_readers_of_a_mirror_are_sent_away_at_a_drain(make_turn: Any) -> None:
    log = TurnLog(make_turn())
    log.dismiss()
    assert [step async for step in from_log(log, 1, idle_after=1)] == [StreamInterrupted("draining")]


async def test_readers_of_an_end_that_cannot_be_stored_are_sent_away(make_turn: Any) -> None:
    log = TurnLog(make_turn())
    log.mark_pending()
    found = [step async for step in from_log(log, 1, idle_after=1)]
    assert found == [StreamInterrupted("interrupted", "finish_pending")]
