"""Updates that a reader receives from a log and from a row."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest

from chat.model import LogEntry
from chat.running.turn_log import TurnLog
from chat.running.turn_updates import (
    MAX_ENTRIES,
    DirectDeltas,
    StreamIdle,
    StreamInterrupted,
    StreamStarted,
    TurnDelta,
    TurnFinished,
    TurnUpdate,
    from_log,
    from_row,
)
from chat_testing.turns import ended_turn, make_turn
from parley.errors import InvalidCursor
from parley_testing import eventually


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


async def test_a_long_answer_comes_in_parts() -> None:
    texts = [str(number) for number in range(2 * MAX_ENTRIES + 7)]
    ended = ended_turn(make_turn(), *texts)
    log = TurnLog(ended)
    log.end(ended)
    for updates in (from_row(ended, 3), from_log(log, 3, idle_after=60)):
        *deltas, finished = [update async for update in updates]
        assert finished == TurnFinished(len(texts) + 2, ended)
        parts = [(delta.seq, len(delta.entries)) for delta in deltas if isinstance(delta, TurnDelta)]
        assert parts == [(4, MAX_ENTRIES), (4 + MAX_ENTRIES, MAX_ENTRIES), (4 + 2 * MAX_ENTRIES, 5)]
        assert [entry for delta in deltas if isinstance(delta, TurnDelta) for entry in delta.entries] == list(
            ended.entries[2:]
        )


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


@dataclass
class DirectClient:
    """A client that takes rendered deltas at once, unless it is ``slow``."""

    slow: bool = False
    sent: list[bytes] = field(default_factory=list)

    def write(self, data: bytes) -> bool:
        if not self.slow:
            self.sent.append(data)
        return not self.slow


def render(delta: TurnDelta) -> bytes:
    return f"{delta.seq}:".encode() + "".join(entry.text for entry in delta.entries).encode()


def direct_to(client: DirectClient) -> DirectDeltas:
    direct = DirectDeltas()
    direct.render, direct.write = render, client.write
    return direct


def show(log: TurnLog, *texts: str) -> None:
    for text in texts:
        log.append(LogEntry(text))
    log.show(len(log.entries))


@pytest.fixture
async def log() -> AsyncIterator[TurnLog]:
    found = TurnLog(make_turn())
    yield found
    assert not found.readers


async def next_of(log: TurnLog, direct: DirectDeltas) -> "asyncio.Task[TurnUpdate]":
    """Return the next update of a reader that waits for it; the reader ends with it."""

    async def read() -> TurnUpdate:
        updates = from_log(log, 1, idle_after=60, direct=direct)
        try:
            return await anext(updates)
        finally:
            await updates.aclose()

    readers = len(log.readers) + 1
    task = asyncio.create_task(read())
    await eventually(lambda: len(log.readers) == readers and all(reader._waiter for reader in log.readers))
    return task


async def test_entries_are_written_at_once_while_the_reader_waits(log: TurnLog) -> None:
    client = DirectClient()
    waiting = await next_of(log, direct_to(client))
    show(log, "a")
    show(log, "b", "c")
    assert client.sent == [b"2:a", b"3:bc"]
    log.end(ended_turn(log.turn, "a", "b", "c"))
    assert await waiting == TurnFinished(5, log.turn)


async def test_the_rest_of_many_entries_that_come_at_once_is_left_to_the_reader(log: TurnLog) -> None:
    client = DirectClient()
    waiting = await next_of(log, direct_to(client))
    show(log, *"a" * MAX_ENTRIES, "b", "c")
    assert client.sent == [b"2:" + b"a" * MAX_ENTRIES]
    assert await waiting == TurnDelta(2 + MAX_ENTRIES, [LogEntry("b"), LogEntry("c")])


async def test_a_slow_client_gets_from_its_reader_what_was_not_written(log: TurnLog) -> None:
    client = DirectClient()
    waiting = await next_of(log, direct_to(client))
    show(log, "a")
    client.slow = True
    show(log, "b")
    client.slow = False
    show(log, "c")  # not past the entry that the reader has yet to send
    assert client.sent == [b"2:a"]
    assert await waiting == TurnDelta(3, [LogEntry("b"), LogEntry("c")])


async def test_a_response_without_a_direct_way_gets_every_update(log: TurnLog) -> None:
    waiting = await next_of(log, DirectDeltas())
    show(log, "a")
    assert await waiting == TurnDelta(2, [LogEntry("a")])


async def test_a_delta_that_cannot_be_rendered_fails_its_own_reader_alone(log: TurnLog) -> None:
    def fail(delta: TurnDelta) -> bytes:
        raise LookupError

    broken, client = DirectDeltas(), DirectClient()
    broken.render, broken.write = fail, client.write
    failing, waiting = await next_of(log, broken), await next_of(log, direct_to(client))
    show(log, "a")
    assert client.sent == [b"2:a"]
    assert await failing == TurnDelta(2, [LogEntry("a")])
    log.abandon()
    assert await waiting == StreamInterrupted("interrupted")
