"""In-memory item store on the turns of an in-memory turn store."""

from dataclasses import replace
from uuid import UUID

from chat.admission.item_deletion import repeats_older, without, without_shared
from chat.errors import Erased, TurnInProgress
from chat.item_store import InsertedItems, ItemPlace, NewItems
from chat.model import IdempotencyKey, Turn
from chat.turn_store import TurnRefused
from chat_testing.turn_store import InMemoryTurnStore


class InMemoryItemStore:
    """An ItemStore."""

    def __init__(self, turns: InMemoryTurnStore) -> None:
        self._turns = turns
        self._keys: dict[tuple[UUID, str, str], InsertedItems] = {}

    async def insert(self, new: NewItems, key: IdempotencyKey | None) -> list[Turn] | None:
        first = new.turns[0]
        assert first.conversation_id is not None
        if first.user_id in self._turns.erased_users:
            raise Erased
        if key is not None and (key.user_id, key.route, key.key) in self._keys:
            return None
        state = await self._turns.claim_conversation(first.conversation_id, first.user_id)
        if state.running_turn_id is not None:
            raise TurnInProgress(state.running_turn_id)
        if new.follows_latest and state.latest_turn_id not in {new.expected_latest, new.head}:
            raise TurnRefused
        conversation = self._turns.conversations[first.conversation_id]
        number = max(conversation.next_number, new.first_number)
        stored = [replace(turn, number=number + place) for place, turn in enumerate(new.turns)]
        self._turns.turns |= {turn.id: turn for turn in stored}
        conversation.next_number = number + len(stored)
        conversation.latest_turn_id = stored[-1].id
        self._turns.event_names += ["conversation.turn.completed"] * len(stored)
        if key is not None:
            self._keys[key.user_id, key.route, key.key] = InsertedItems(stored, key.body_hash)
        return stored

    async def inserted(self, key: IdempotencyKey) -> InsertedItems | None:
        return self._keys.get((key.user_id, key.route, key.key))

    async def delete(self, user_id: UUID, conversation_id: UUID, item: ItemPlace) -> bool:
        found = self._turns.turns.get(item.turn_id)
        if found is None or found.conversation_id != conversation_id or found.user_id != user_id:
            return False
        if found.running:
            raise TurnInProgress(found.id)
        changed = without(found, item)
        if changed is None:
            return False
        state = await self._turns.conversation(conversation_id)
        if state is not None and state.running_turn_id is not None:
            raise TurnInProgress(state.running_turn_id)
        others = [
            turn
            for turn in self._turns.turns.values()
            if turn.user_message_id == changed.user_message_id and turn.id != changed.id
        ]
        if item.in_input and repeats_older(found, others):
            return False
        shared = [without_shared(turn, item, changed) for turn in others if item.in_input]
        everyone = [changed, *(turn for turn in shared if turn is not None)]
        self._turns.turns |= {turn.id: turn for turn in everyone}
        self._turns.conversations[conversation_id].item_deletions += 1
        self._turns.event_names += ["conversation.turn.redacted"] * len(everyone)
        return True
