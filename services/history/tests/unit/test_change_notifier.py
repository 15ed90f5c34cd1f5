"""Waking waiting requests, by this process and by polling."""

import asyncio

import pytest

from history.change_notifier.notifier import ChangeNotifier
from history_testing.fakes import FakeChangeSource
from parley.ids import new_id
from parley_testing import eventually


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


async def test_one_poll_serves_all_waiters_with_one_query_per_kind() -> None:
    changes, turns, user = ChangeNotifier(), [new_id(), new_id()], new_id()
    source = FakeChangeSource(ended={turns[0]}, heads={user: 3})
    with (
        changes.watch_turn(turns[0]) as ended,
        changes.watch_turn(turns[1]) as running,
        changes.watch_feed(user) as feed,
    ):
        await changes.poll(source)
        assert [event.is_set() for event in (ended, running, feed)] == [True, False, True]
        assert source.queries == 2
        feed.clear()
        await changes.poll(source)
        assert not feed.is_set()
        source.heads[user] = 4
        await changes.poll(source)
        assert feed.is_set()


async def test_without_waiters_nothing_is_queried() -> None:
    changes, source = ChangeNotifier(), FakeChangeSource()
    with changes.watch_turn(new_id()), changes.watch_feed(new_id()):
        pass
    await changes.poll(source)
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


async def test_a_reader_that_fails_leaves_nothing_behind() -> None:
    changes, user = ChangeNotifier(), new_id()
    source = FakeChangeSource(heads={user: 1})

    async def read() -> None:
        with changes.watch_feed(user) as feed:
            await changes.poll(source)
            assert feed.is_set()
            raise ConnectionError

    for _ in range(2):  # the second reader has not seen position 1 either
        with pytest.raises(ConnectionError):
            await read()
