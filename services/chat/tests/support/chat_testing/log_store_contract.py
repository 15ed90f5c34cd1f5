"""Contract tests of log stores. A test class inherits them and defines the fixture ``store``."""

from uuid import UUID

from chat.model import LogEntry
from chat.running.turn_log_store import LogAppend, LogEnd, LogItem, LogStore
from parley.ids import new_id

ENTRIES = [LogEntry("a"), LogEntry("", ({"index": 0, "function": {"name": "f"}},))]


def first_append(turn_id: UUID, epoch: int = 1) -> LogAppend:
    return LogAppend(turn_id, epoch, 1, [None, *ENTRIES], create=True)


class LogStoreContract:
    async def test_appended_entries_are_read_in_order(self, store: LogStore) -> None:
        turn_id = new_id()
        assert await store.append([first_append(turn_id)]) == ["appended"]
        assert await store.append([LogAppend(turn_id, 1, 4, [LogEntry("c")])]) == ["appended"]
        items = [
            LogItem(1, 1, None),
            LogItem(1, 2, ENTRIES[0]),
            LogItem(1, 3, ENTRIES[1]),
            LogItem(1, 4, LogEntry("c")),
        ]
        assert await store.read(turn_id) == items
        assert await store.newest_position(turn_id) == (1, 4)

    async def test_a_missing_log_is_reported_unless_it_is_created(self, store: LogStore) -> None:
        turn_id = new_id()
        assert await store.append([LogAppend(turn_id, 1, 4, [LogEntry("c")])]) == ["missing"]
        assert await store.newest_position(turn_id) is None
        assert await store.read(turn_id) == []

    async def test_an_append_behind_the_newest_position_is_refused(self, store: LogStore) -> None:
        turn_id = new_id()
        await store.append([first_append(turn_id)])
        assert await store.append([LogAppend(turn_id, 1, 3, [LogEntry("again")])]) == ["refused"]

    async def test_a_seal_returns_the_log_and_refuses_lower_epochs(self, store: LogStore) -> None:
        turn_id = new_id()
        await store.append([first_append(turn_id)])
        sealed = await store.seal(turn_id, 2)
        assert [(item.epoch, item.seq) for item in sealed] == [(1, 1), (1, 2), (1, 3), (2, 0)]
        assert sealed[-1].end
        assert await store.append([LogAppend(turn_id, 1, 4, [LogEntry("late")])]) == ["refused"]

    async def test_an_erased_log_has_no_entries_and_refuses_its_runner(self, store: LogStore) -> None:
        turn_id = new_id()
        await store.append([first_append(turn_id)])
        await store.erase(turn_id, 2)
        assert [item.entry for item in await store.read(turn_id)] == [None]
        assert await store.append([LogAppend(turn_id, 1, 4, [LogEntry("late")])]) == ["refused"]

    async def test_an_ended_log_has_an_end_marker(self, store: LogStore) -> None:
        turn_id = new_id()
        await store.append([first_append(turn_id)])
        await store.mark_ended([LogEnd(turn_id, 1, 4)])
        assert (await store.read(turn_id))[-1].end
        await store.mark_ended([LogEnd(new_id(), 1, 4)])

    async def test_a_tail_returns_the_items_behind_each_cursor(self, store: LogStore) -> None:
        one, other = new_id(), new_id()
        await store.append([first_append(one), first_append(other)])
        found = await store.tail({one: (1, 2), other: (1, 3)}, 0.01)
        assert found == {one: [LogItem(1, 3, ENTRIES[1])]}

    async def test_readers_are_marked_for_a_while(self, store: LogStore) -> None:
        one, other = new_id(), new_id()
        await store.mark_read([one], 60)
        assert await store.is_read(one)
        assert not await store.is_read(other)

    async def test_the_store_answers_pings(self, store: LogStore) -> None:
        await store.ping()
