"""Pages of the active branch and of the tree, and waiting for a turn."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import pytest

from history.change_notifier.notifier import ChangeNotifier
from history.conversations.service import ConversationService
from history.errors import ConversationNotFound
from history.messages.schemas import Order
from history.messages.service import MAX_PAGE_LENGTH, MAX_PAGES_OF_USER, MessageQuery, MessageService
from history.messages.store import MessagePage, MessageStore
from history_testing.in_memory_stores import (
    InMemoryConversationStore,
    InMemoryHistory,
    InMemoryMessageStore,
    InMemoryTurnLookup,
)
from history_testing.turn_events import SampleTurn
from parley.errors import InvalidCursor
from parley.ids import new_id
from parley_testing import eventually


class CountingTurnLookup(InMemoryTurnLookup):
    """Counts how often a turn is looked up."""

    lookups = 0

    async def has_ended(self, user_id: UUID, conversation_id: UUID, turn_id: UUID) -> bool:
        self.lookups += 1
        return await super().has_ended(user_id, conversation_id, turn_id)


class MessageFixture:
    """A service over in-memory data, with two turns and a regeneration of the first one."""

    def __init__(self, turn_wait_timeout: float = 30) -> None:
        self.history, self.changes = InMemoryHistory(), ChangeNotifier()
        self.turns = CountingTurnLookup(self.history)
        conversations = InMemoryConversationStore(self.history)
        self._conversations = ConversationService(
            conversations, self.changes, retention=lambda _plan: timedelta(days=30), wake_relay=lambda: None
        )
        self._turn_wait_timeout = turn_wait_timeout
        self.use(InMemoryMessageStore(self.history))
        self.first = SampleTurn()
        self.second = self.first.next()
        self.again = self.first.regenerated(number=3)
        self.history.add(self.first, self.second, self.again)

    def use(self, store: MessageStore) -> None:
        """Read messages from a store from now on."""
        self.service = MessageService(
            self._conversations, store, self.turns, self.changes, turn_wait_timeout=self._turn_wait_timeout
        )

    async def ids(self, order: Order, limit: int, *, tree: bool) -> list[UUID]:
        """Return the ids on all pages."""
        found: list[UUID] = []
        cursor: str | None = None
        while True:
            query = MessageQuery(order=order, limit=limit, tree=tree, cursor=cursor)
            page = await self.service.page(self.first.user_id, self.first.conversation_id, query)
            found += [message.id for message in page.data]
            cursor = page.next_cursor
            if cursor is None:
                return found


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_the_active_branch_and_the_tree_are_paged_whole_in_both_orders(limit: int) -> None:
    fixture = MessageFixture()
    branch = [fixture.first.user_message_id, fixture.again.turn_id]
    tree = [
        fixture.first.user_message_id,
        fixture.first.turn_id,
        fixture.second.user_message_id,
        fixture.second.turn_id,
        fixture.again.turn_id,
    ]
    assert await fixture.ids("asc", limit, tree=False) == branch
    assert await fixture.ids("desc", limit, tree=False) == branch[::-1]
    assert await fixture.ids("asc", limit, tree=True) == tree
    assert await fixture.ids("desc", limit, tree=True) == tree[::-1]


@pytest.mark.parametrize("tree", [True, False])
@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_a_page_ends_with_the_message_that_makes_it_long(order: Order, tree: bool) -> None:
    fixture = MessageFixture()
    turns = [fixture.again]
    for _ in range(3):
        turns.append(turns[-1].next(answer="long " * (MAX_PAGE_LENGTH // 6)))
    fixture.history.add(*turns[1:])
    first = await fixture.service.page(
        turns[0].user_id, turns[0].conversation_id, MessageQuery(order=order, tree=tree, limit=100)
    )
    assert sum(len(message.content) for message in first.data) < 2 * MAX_PAGE_LENGTH
    assert first.next_cursor
    assert len(set(await fixture.ids(order, 100, tree=tree))) == (11 if tree else 8)


async def test_a_page_keeps_its_branch_when_another_branch_becomes_active() -> None:
    fixture = MessageFixture()
    turn = fixture.first
    page = await fixture.service.page(turn.user_id, turn.conversation_id, MessageQuery(limit=1))
    fixture.history.add(turn.regenerated(number=4))
    query = MessageQuery(limit=10, cursor=page.next_cursor)
    rest = await fixture.service.page(turn.user_id, turn.conversation_id, query)
    assert [message.id for message in page.data + rest.data] == [turn.user_message_id, fixture.again.turn_id]


async def test_a_cursor_belongs_to_its_order_and_view() -> None:
    fixture = MessageFixture()
    turn = fixture.first
    page = await fixture.service.page(turn.user_id, turn.conversation_id, MessageQuery(limit=1))
    for query in (MessageQuery("desc", cursor=page.next_cursor), MessageQuery(tree=True, cursor=page.next_cursor)):
        with pytest.raises(InvalidCursor):
            await fixture.service.page(turn.user_id, turn.conversation_id, query)


async def test_a_conversation_of_another_user_is_not_found() -> None:
    fixture = MessageFixture()
    with pytest.raises(ConversationNotFound):
        await fixture.service.page(new_id(), fixture.first.conversation_id, MessageQuery())


async def test_waiting_ends_when_the_turn_is_stored() -> None:
    fixture, turn = MessageFixture(), SampleTurn()
    query = MessageQuery(wait_for=turn.turn_id)
    waiting = asyncio.create_task(fixture.service.page(turn.user_id, turn.conversation_id, query))
    await eventually(lambda: fixture.turns.lookups == 1)
    fixture.history.add(turn)
    fixture.changes.turn_ended(turn.turn_id)
    page = await asyncio.wait_for(waiting, 20)
    assert [message.id for message in page.data] == [turn.user_message_id, turn.turn_id]
    assert fixture.turns.lookups == 2


async def test_waiting_for_a_turn_that_is_not_stored_ends_with_the_messages_so_far() -> None:
    fixture = MessageFixture(turn_wait_timeout=0.01)
    turn = fixture.first
    page = await fixture.service.page(turn.user_id, turn.conversation_id, MessageQuery(wait_for=new_id()))
    assert len(page.data) == 2


async def test_another_user_waits_for_the_whole_timeout_even_for_a_stored_turn() -> None:
    fixture = MessageFixture()
    turn = fixture.first
    query = MessageQuery(wait_for=turn.turn_id)
    waiting = asyncio.create_task(fixture.service.page(new_id(), turn.conversation_id, query))
    await eventually(lambda: fixture.turns.lookups == 1)
    fixture.changes.turn_ended(turn.turn_id)
    await eventually(lambda: fixture.turns.lookups == 2)
    assert not waiting.done()
    waiting.cancel()


class SlowMessageStore(InMemoryMessageStore):
    """Reads pages once it may."""

    def __init__(self, history: InMemoryHistory) -> None:
        super().__init__(history)
        self.begun, self.may_end = 0, asyncio.Event()

    async def fetch(self, conversation_id: UUID, ids: Sequence[UUID], characters: int) -> MessagePage:
        self.begun += 1
        await self.may_end.wait()
        return await super().fetch(conversation_id, ids, characters)


async def test_a_user_who_asks_for_many_pages_holds_a_few_at_a_time() -> None:
    fixture = MessageFixture()
    store = SlowMessageStore(fixture.history)
    fixture.use(store)
    pages = [asyncio.create_task(fixture.ids("asc", 100, tree=True)) for _ in range(20)]
    await eventually(lambda: store.begun == MAX_PAGES_OF_USER)
    store.begun = 0
    await asyncio.sleep(0)
    assert store.begun == 0
    store.may_end.set()
    assert len({tuple(page) for page in await asyncio.gather(*pages)}) == 1
