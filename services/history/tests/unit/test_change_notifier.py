"""Waking waiting requests, by this process and by polling."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from history.change_notifier.notifier import FEED_POLL_INTERVAL, TURN_POLL_INTERVAL, ChangeNotifier
from history_testing.fakes import FakeChangeSource
from parley.ids import new_id
from parley_events.tasks import running
from parley_testing import eventually
from parley_testing.virtual_time import virtual_time


async def test_a_change_wakes_only_its_own_waiters() -> None:
    changes, turn, user, other = ChangeNotifier(), new_id(), new_id(), new_id()
    with (
        changes.watch_turn(turn) as one,
        changes.watch_turn(turn) as two,
        changes.watch_turn(other) as third,
        changes.watch_feed(user) as feed,
    ):
        changes.turn_ended(turn)
        assert [event.is_set() for event in (one, two, third, feed)] == [True, True, False, False]
        changes.feed_grew(user)
        assert feed.is_set()
        assert not third.is_set()


async def test_one_query_serves_all_requests_that_wait_for_turns() -> None:
    changes, turns = ChangeNotifier(), [new_id(), new_id()]
    source = FakeChangeSource(ended={turns[0]})
    with changes.watch_turn(turns[0]) as ended, changes.watch_turn(turns[1]) as running:
        await changes.poll_turns(source)
        assert [event.is_set() for event in (ended, running)] == [True, False]
        assert source.queries == 1


async def test_a_reader_of_a_feed_is_woken_when_the_feed_has_grown() -> None:
    changes, user = ChangeNotifier(), new_id()
    source = FakeChangeSource(heads={user: 3})
    with changes.watch_feed(user) as feed:
        await changes.poll_feeds(source)
        assert feed.is_set()
        feed.clear()
        await changes.poll_feeds(source)
        assert not feed.is_set()
        source.heads[user] = 4
        await changes.poll_feeds(source)
        assert feed.is_set()


async def test_without_waiters_nothing_is_queried() -> None:
    changes, source = ChangeNotifier(), FakeChangeSource()
    with changes.watch_turn(new_id()), changes.watch_feed(new_id()):
        pass
    await changes.poll_turns(source)
    await changes.poll_feeds(source)
    assert source.queries == 0


async def test_the_loop_polls_only_while_a_request_waits() -> None:
    changes, turn = ChangeNotifier(), new_id()
    source = FakeChangeSource(ended={turn})
    loop = asyncio.create_task(changes.run(source))
    await asyncio.sleep(0)
    assert source.queries == 0
    with changes.watch_turn(turn) as ended:
        await eventually(ended.is_set)
    loop.cancel()


def test_turns_are_polled_more_often_than_feeds() -> None:
    @virtual_time
    async def scenario(
        wait: Callable[[ChangeNotifier], AbstractContextManager[asyncio.Event]], interval: float
    ) -> None:
        changes, source = ChangeNotifier(), FakeChangeSource()
        async with running(lambda: changes.run(source)):
            with wait(changes):
                await asyncio.sleep(10.5 * interval)
                assert source.queries == 10

    scenario(lambda changes: changes.watch_turn(new_id()), TURN_POLL_INTERVAL)
    scenario(lambda changes: changes.watch_feed(new_id()), FEED_POLL_INTERVAL)


async def test_a_reader_that_fails_leaves_nothing_behind() -> None:
    changes, user = ChangeNotifier(), new_id()
    source = FakeChangeSource(heads={user: 1})

    async def read() -> None:
        with changes.watch_feed(user) as feed:
            await changes.poll_feeds(source)
            assert feed.is_set()
            raise ConnectionError

    for _ in range(2):  # the second reader has not seen position 1 either
        with pytest.raises(ConnectionError):
            await read()
