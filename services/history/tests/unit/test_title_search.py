"""Rules of the search for titles."""

import asyncio
from uuid import UUID

from history.conversations.schemas import Conversation
from history.conversations.store import ConversationFilter, ListPosition
from history.conversations.title_search import TitleSearch
from history_testing.in_memory_stores import InMemoryConversationStore, InMemoryHistory
from parley.ids import new_id


class SlowTitles(InMemoryConversationStore):
    """Statements that do not end, and whose they are."""

    def __init__(self) -> None:
        super().__init__(InMemoryHistory())
        self.running = list[UUID]()
        self.began = asyncio.Event()

    async def titled(
        self, wanted: ConversationFilter, after: ListPosition | None, until: ListPosition | None, limit: int
    ) -> list[Conversation]:
        self.running.append(wanted.user_id)
        self.began.set()
        await asyncio.Event().wait()
        return []


async def test_slow_searches_of_one_user_leave_a_place_to_another() -> None:
    store, first, second = SlowTitles(), new_id(), new_id()
    search = TitleSearch(store)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(search.find(ConversationFilter(first, title_part="a"), None, 1)) for _ in range(9)]
        await store.began.wait()
        store.began.clear()
        waiting.append(tasks.create_task(search.find(ConversationFilter(second, title_part="a"), None, 1)))
        await store.began.wait()
        assert store.running == [first, second]
        for each in waiting:
            each.cancel()
