"""The event feed: cursors, pings, draining and limits."""

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from history.change_notifier.notifier import ChangeNotifier
from history.errors import CursorExpired
from history.event_feed.service import DRAINING_BLOCK, PING_BLOCK, FeedService
from history_testing.fakes import InMemoryFeedStore
from history_testing.turn_events import SampleTurn
from parley.errors import InvalidCursor, Overloaded
from parley.ids import new_id

NEVER = time.time() + 3600


class FeedFixture:
    def __init__(self, ping_interval: float = 30, max_readers: int = 10) -> None:
        self.store, self.changes, self.drain_started = InMemoryFeedStore(), ChangeNotifier(), asyncio.Event()
        self.turn = SampleTurn()
        self.service = FeedService(
            self.store,
            self.changes,
            drain_started=self.drain_started,
            ping_interval=ping_interval,
            max_readers=max_readers,
        )

    def store_events(self, count: int) -> None:
        for _ in range(count):
            self.store.append(self.turn.user_id, self.turn.ended())
        self.changes.feed_grew(self.turn.user_id)

    def follow(self, position: int = 0, until: float = NEVER) -> AsyncIterator[str]:
        return self.service.follow(self.turn.user_id, position, until=until)


async def _next(blocks: AsyncIterator[str]) -> str:
    return await asyncio.wait_for(anext(blocks), 5)


def _cursor(block: str) -> str:
    return next(line.removeprefix("id: ") for line in block.splitlines() if line.startswith("id: "))


async def test_events_are_sent_as_they_are_stored_and_each_has_a_cursor() -> None:
    fixture = FeedFixture()
    blocks = fixture.follow()
    assert (await _next(blocks)).startswith(": connected\nid: ")
    fixture.store_events(2)
    first, second = await _next(blocks), await _next(blocks)
    assert "event: conversation.turn.completed\n" in first
    user_id = fixture.turn.user_id
    assert [await fixture.service.begin(user_id, _cursor(block)) for block in (first, second)] == [1, 2]


async def test_more_events_than_one_batch_are_sent_without_waiting() -> None:
    fixture = FeedFixture()
    fixture.store_events(250)
    blocks = fixture.follow()
    received = [await _next(blocks) for _ in range(251)]
    assert len({_cursor(block) for block in received}) == 251


async def test_a_cleared_entry_is_skipped() -> None:
    fixture = FeedFixture()
    fixture.store.append(fixture.turn.user_id, None)
    fixture.store_events(1)
    blocks = fixture.follow()
    await _next(blocks)
    assert await fixture.service.begin(fixture.turn.user_id, _cursor(await _next(blocks))) == 2


async def test_a_quiet_feed_sends_pings() -> None:
    fixture = FeedFixture(ping_interval=0.01)
    blocks = fixture.follow()
    await _next(blocks)
    assert [await _next(blocks), await _next(blocks)] == [PING_BLOCK, PING_BLOCK]


async def test_a_draining_service_sends_the_stored_events_and_ends_the_stream() -> None:
    fixture = FeedFixture()
    blocks = fixture.follow()
    await _next(blocks)
    fixture.store_events(1)
    fixture.drain_started.set()
    assert "conversation.turn.completed" in await _next(blocks)
    assert await _next(blocks) == DRAINING_BLOCK
    with pytest.raises(StopAsyncIteration):
        await _next(blocks)


async def test_the_stream_ends_when_the_token_expires() -> None:
    fixture = FeedFixture()
    blocks = fixture.follow(until=time.time() - 1)
    await _next(blocks)
    with pytest.raises(StopAsyncIteration):
        await _next(blocks)


async def test_the_stream_ends_when_the_store_is_unavailable_or_events_are_missing() -> None:
    away, behind = FeedFixture(), FeedFixture()
    away.store.unavailable = True
    behind.store_events(3)
    behind.store.trim(behind.turn.user_id, 2)
    for fixture in (away, behind):
        blocks = fixture.follow()
        await _next(blocks)
        with pytest.raises(StopAsyncIteration):
            await _next(blocks)


async def test_without_a_cursor_the_feed_begins_at_its_end() -> None:
    fixture = FeedFixture()
    assert await fixture.service.begin(fixture.turn.user_id, None) == 0
    fixture.store_events(2)
    assert await fixture.service.begin(fixture.turn.user_id, None) == 2


async def test_a_cursor_is_bound_to_its_user_and_expires_with_its_events() -> None:
    fixture = FeedFixture()
    fixture.store_events(3)
    blocks = fixture.follow()
    cursor = _cursor(await _next(blocks))
    fixture.store.trim(fixture.turn.user_id, 2)
    with pytest.raises(CursorExpired):
        await fixture.service.begin(fixture.turn.user_id, cursor)
    with pytest.raises(InvalidCursor, match="last event ID"):
        await fixture.service.begin(new_id(), cursor)


async def test_open_feeds_are_limited_and_a_closed_one_makes_room() -> None:
    fixture = FeedFixture(max_readers=1)
    blocks = fixture.service.follow(fixture.turn.user_id, 0, until=NEVER)
    await _next(blocks)
    with pytest.raises(Overloaded):
        await fixture.service.begin(fixture.turn.user_id, None)
    await blocks.aclose()  # type: ignore[attr-defined]  # an async generator
    assert await fixture.service.begin(fixture.turn.user_id, None) == 0


async def test_feeds_that_begin_at_the_same_time_are_limited_together(monkeypatch: pytest.MonkeyPatch) -> None:
    fixture, stored = FeedFixture(max_readers=2), asyncio.Event()

    async def head(_user: UUID) -> int:
        await stored.wait()
        return 0

    monkeypatch.setattr(fixture.store, "head", head)
    beginning = [asyncio.create_task(fixture.service.begin(new_id(), None)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await fixture.service.begin(new_id(), None)
    stored.set()
    assert await asyncio.gather(*beginning) == [0, 0]
