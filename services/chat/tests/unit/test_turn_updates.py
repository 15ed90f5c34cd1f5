"""Updates that a reader receives from a log and from a row."""

from dataclasses import replace

import pytest

from chat.model import LogEntry
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
from chat_testing.turns import ended_turn, make_turn
from parley.errors import InvalidCursor


async def test_a_reader_receives_the_entries_idle_updates_and_the_end() -> None:
    turn = make_turn()
    log = TurnLog(turn)
    log.append(LogEntry("a"))
    log.append(LogEntry("b"))
    log.show(2)
    updates = from_log(log, 0, idle_after=0.01)
    assert await anext(updates) == StreamStarted(turn)
    assert await anext(updates) == TurnDelta(2, [LogEntry("a"), LogEntry("b")])
    assert await anext(updates) == StreamIdle()
    ended = ended_turn(turn, "a", "b")
    log.end(ended)
    assert await anext(updates) == TurnFinished(4, ended)


async def test_a_cursor_on_a_row_returns_the_rest_and_repeats_the_end() -> None:
    ended = ended_turn(make_turn(), "a", "b")
    assert [update async for update in from_row(ended, 2)] == [TurnDelta(3, (LogEntry("b"),)), TurnFinished(4, ended)]
    assert [update async for update in from_row(ended, 4)] == [TurnFinished(4, ended)]
    with pytest.raises(InvalidCursor):
        _ = [update async for update in from_row(ended, 5)]


async def test_a_cursor_beyond_the_log_is_invalid_unless_the_log_may_be_behind() -> None:
    log = TurnLog(make_turn())
    with pytest.raises(InvalidCursor):
        await anext(from_log(log, 5, idle_after=0.01))
    assert await anext(from_log(log, 5, idle_after=0.01, strict=False)) == StreamIdle()


async def test_a_cursor_beyond_a_lost_log_receives_the_end() -> None:
    ended = replace(ended_turn(make_turn(), "a"), log_lost=True, status="incomplete")
    assert [update async for update in from_row(ended, 40)] == [TurnFinished(3, ended)]


async def test_readers_of_a_dismissed_log_are_told_that_the_replica_drains() -> None:
    log = TurnLog(make_turn())
    log.dismiss()
    assert [update async for update in from_log(log, 1, idle_after=1)] == [StreamInterrupted("draining")]


async def test_readers_of_an_outcome_that_cannot_be_stored_are_told_that_it_is_pending() -> None:
    log = TurnLog(make_turn())
    log.mark_pending()
    found = [update async for update in from_log(log, 1, idle_after=1)]
    assert found == [StreamInterrupted("interrupted", "finish_pending")]
