"""Conversations: creation under a given ID, and the exchanges of one."""

from uuid import UUID

from chat.admission.context_window import ContextLoader, EarlierExchanges
from chat.admission.position import require_owner
from chat.errors import ConversationNotFound, HistoryUnavailable
from chat.history import CreatedConversation, History
from chat.input_items import messages_of_input
from chat.model import IdempotencyKey, Turn
from chat.past_exchanges import PastExchange, result_steps, stands_alone
from chat.turn_store import TurnStore
from parley.ids import new_id
from parley.web.idempotency_keys import IdempotencyKeyReused

READ_WINDOW = 64_000
"""Length of a branch that one request reads, as the context window of a model in tokens."""


def exchange_of(turn: Turn) -> PastExchange:
    """Return an ended turn as an exchange."""
    response = turn.response or {}
    given = messages_of_input(turn.response)
    return PastExchange(
        turn.id,
        turn.parent_id,
        turn.user_message,
        turn.content or "",
        turn.tool_calls,
        before=result_steps(turn.tool_results) if given is None else (),
        continues=turn.continues,
        input=given,
        items=response.get("input"),
        deleted_calls=response.get("deleted_calls", ()),
        stands_alone=stands_alone(turn.id, turn.finish_reason, turn.response),
    )


class ConversationCreator:
    """Creates conversations. Chat's row decides who owns an ID, and history stores the conversation."""

    def __init__(self, store: TurnStore, history: History) -> None:
        self._store, self._history = store, history

    async def create_new(
        self, user_id: UUID, metadata: dict[str, str], key: IdempotencyKey | None
    ) -> tuple[UUID, CreatedConversation]:
        """Create a conversation, or return the one that a request with the same key has created.

        Raises IdempotencyKeyReused, and what ``create`` raises.
        """
        wanted = new_id()
        if key is not None:
            record = await self._store.claim_key(key, wanted)
            if record.body_hash != key.body_hash:
                raise IdempotencyKeyReused
            wanted = record.turn_id
        return wanted, await self.create(user_id, wanted, metadata)

    async def create(
        self, user_id: UUID, conversation_id: UUID, metadata: dict[str, str] | None = None
    ) -> CreatedConversation:
        """Create a conversation, or return the user's existing one.

        Raises ConversationNotFound if it is deleted or belongs to another user, Erased, and HistoryUnavailable.
        """
        owner = await self._history.owner(conversation_id)
        if owner is not None and (owner.user_id != user_id or owner.deleted):
            raise ConversationNotFound
        if owner is None:
            # The row is written first: of two users with one ID, only one gets it.
            require_owner(await self._store.claim_conversation(conversation_id, user_id), user_id)
        created = await self._history.create(conversation_id, user_id, metadata)
        if created is None:
            raise ConversationNotFound
        return created


class ConversationReader:
    """Reads the branch of a conversation that its newest answer ends, or that another one ends."""

    def __init__(self, store: TurnStore, history: History, contexts: ContextLoader) -> None:
        self._store, self._history, self._contexts = store, history, contexts

    async def branch(self, user_id: UUID, conversation_id: UUID, end: UUID | None = None) -> EarlierExchanges:
        """Return the exchanges up to the answer ``end``, newest first; ``more`` tells whether there are older ones.

        Raises ConversationNotFound, MessageNotFound if ``end`` is no answer of it, and HistoryUnavailable.
        """
        newest = await self.newest_answer(user_id, conversation_id)
        answer = end or newest
        if answer is None:
            return EarlierExchanges()
        found = await self._contexts.before(conversation_id, answer, user_id=user_id, window=READ_WINDOW, certain=False)
        if found.partial:
            raise HistoryUnavailable
        return found

    async def newest_answer(self, user_id: UUID, conversation_id: UUID) -> UUID | None:
        """Return the newest answer, None without one; raises ConversationNotFound and HistoryUnavailable."""
        known = await self._store.conversation(conversation_id)
        if known is not None:
            require_owner(known, user_id)
            return known.latest_turn_id
        owner = await self._history.owner(conversation_id)
        if owner is None or owner.user_id != user_id or owner.deleted:
            raise ConversationNotFound
        return owner.latest_answer
