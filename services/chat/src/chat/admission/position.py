"""Where a turn belongs: which conversation, after which answer, in answer to which message."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from chat.admission.turn_request import TurnRequest
from chat.errors import ConversationNotFound, MessageNotFound, TurnInProgress
from chat.history import History, RegenerationSource
from chat.model import ConversationState, Turn
from chat.turn_store import TurnStore
from parley.ids import new_id


@dataclass(frozen=True, slots=True)
class TurnPosition:
    """The place of a turn; without a conversation it is only metered."""

    conversation_id: UUID | None
    message: str
    parent_id: UUID | None = None
    parent_certain: bool = True
    """Chat knows that the parent exists, even when only history has its text."""
    follows_latest: bool = False
    user_message_id: UUID | None = None
    message_at: datetime | None = None
    system_prompt: str | None = None
    first_number: int = 1
    adopted: bool = False
    head: UUID | None = None


@dataclass(frozen=True, slots=True)
class _KnownConversation:
    """A conversation as far as a placement needs it."""

    latest: UUID | None = None
    system_prompt: str | None = None
    next_number: int = 1
    adopted: bool = False


class PositionResolver:
    """Finds the place of a turn; what chat has never seen it asks history."""

    def __init__(self, store: TurnStore, history: History) -> None:
        self._store, self._history = store, history

    async def find(self, ask: TurnRequest) -> TurnPosition:
        """Return the place of a turn.

        Raises ConversationNotFound, MessageNotFound, TurnInProgress, and HistoryUnavailable when only history can tell.
        """
        if not ask.stored:
            return TurnPosition(None, ask.message or "", system_prompt=ask.system_prompt)
        if ask.conversation_id is None:
            return TurnPosition(new_id(), ask.message or "", system_prompt=ask.system_prompt)
        known = await self._known(ask, ask.conversation_id)
        if ask.regenerate is not None:
            return await self._again(ask, ask.conversation_id, ask.regenerate, known)
        return self._place(ask, ask.conversation_id, known)

    async def _known(self, ask: TurnRequest, conversation_id: UUID) -> _KnownConversation:
        found = await self._store.conversation(conversation_id)
        if found is not None:
            _require_free(found, ask.user_id)
            return _KnownConversation(found.latest_turn_id, found.system_prompt)
        owner = await self._history.owner(conversation_id)
        if owner is None:
            return _KnownConversation()
        if owner.user_id != ask.user_id or owner.deleted:
            raise ConversationNotFound
        latest = await self._history.latest_answer(conversation_id, ask.token)
        return _KnownConversation(latest, None, owner.last_number + 1, adopted=True)

    @staticmethod
    def _place(ask: TurnRequest, conversation_id: UUID, known: _KnownConversation) -> TurnPosition:
        root = ask.parent_id == conversation_id
        chosen = None if root else ask.parent_id
        latest = ask.parent_id is None
        return TurnPosition(
            conversation_id,
            ask.message or "",
            parent_id=known.latest if latest else chosen,
            parent_certain=latest,
            follows_latest=latest,
            system_prompt=ask.system_prompt or known.system_prompt,
            first_number=known.next_number,
            adopted=known.adopted,
            head=known.latest if known.adopted else None,
        )

    async def _again(
        self, ask: TurnRequest, conversation_id: UUID, answer_id: UUID, known: _KnownConversation
    ) -> TurnPosition:
        redo = await self._redo(ask, conversation_id, answer_id)
        return TurnPosition(
            conversation_id,
            redo.user_message,
            parent_id=redo.parent_id,
            user_message_id=redo.user_message_id,
            message_at=redo.user_message_at,
            system_prompt=ask.system_prompt or known.system_prompt,
            first_number=known.next_number,
            adopted=known.adopted,
            head=known.latest if known.adopted else None,
        )

    async def _redo(self, ask: TurnRequest, conversation_id: UUID, answer_id: UUID) -> RegenerationSource:
        turn: Turn | None = await self._store.get(answer_id)
        if turn is not None:
            if turn.conversation_id != conversation_id:
                raise MessageNotFound
            return RegenerationSource(turn.parent_id, turn.user_message_id, turn.user_message, turn.user_message_at)
        redo = await self._history.regeneration_source(conversation_id, answer_id, ask.token)
        if redo is None:
            raise MessageNotFound
        return redo


def _require_free(conversation: ConversationState, user_id: UUID) -> None:
    if conversation.user_id != user_id or conversation.deleted:
        raise ConversationNotFound
    if conversation.running_turn_id is not None:
        raise TurnInProgress(conversation.running_turn_id)
