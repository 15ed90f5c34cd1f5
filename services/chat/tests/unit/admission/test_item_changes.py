"""Changes of the items of conversations at the same time."""

import asyncio
from uuid import UUID

from chat.admission.conversation_items import ConversationItems, ItemsRequest
from chat.admission.plans import ChatPlan
from chat.admission.position import PositionResolver
from chat.admission.token_limits import TokenLimits
from chat.item_store import ItemPlace, NewItems
from chat.model import IdempotencyKey, Turn
from chat_testing.history import FakeHistory
from chat_testing.item_store import InMemoryItemStore
from chat_testing.stores import InMemoryRateLimiter
from chat_testing.turn_store import InMemoryTurnStore
from parley.config.plans import Plans
from parley.ids import new_id
from parley_testing import eventually


class SlowItemStore(InMemoryItemStore):
    """An ItemStore whose changes end once they may."""

    def __init__(self, turns: InMemoryTurnStore) -> None:
        super().__init__(turns)
        self.begun: list[UUID] = []
        self.may_end = asyncio.Event()

    async def delete(self, user_id: UUID, conversation_id: UUID, item: ItemPlace) -> bool:
        self.begun.append(user_id)
        await self.may_end.wait()
        return True

    async def insert(self, new: NewItems, key: IdempotencyKey | None) -> list[Turn] | None:
        self.begun.append(new.turns[0].user_id)
        await self.may_end.wait()
        return list(new.turns)


async def test_changes_of_a_user_wait_for_each_other_and_not_for_those_of_others() -> None:
    turns, one, other = InMemoryTurnStore(), new_id(), new_id()
    store = SlowItemStore(turns)
    limits = TokenLimits(InMemoryRateLimiter())
    items = ConversationItems(store, PositionResolver(turns, FakeHistory()), limits, Plans({}, ChatPlan()))
    item, said = f"msg_{new_id().hex}", {"type": "message", "role": "user", "content": "Hi"}

    async def change(user_id: UUID, *, inserts: bool) -> None:
        conversation = await turns.claim_conversation(new_id(), user_id)
        if inserts:
            await items.insert(ItemsRequest(user_id, "default", "r", conversation.id, [said]))
        else:
            await items.delete(user_id, conversation.id, item)

    changes = [(one, True), (one, False), (one, True), (other, True)]
    running = [asyncio.ensure_future(change(user_id, inserts=inserts)) for user_id, inserts in changes]
    await eventually(lambda: store.begun == [one, other])
    store.may_end.set()
    await asyncio.gather(*running)
    assert store.begun == [one, other, one, one]
