"""Creation of empty conversations under IDs that clients choose."""

from uuid import UUID

from chat.admission.position import require_owner
from chat.errors import ConversationNotFound
from chat.history import CreatedConversation, History
from chat.turn_store import TurnStore


class ConversationCreator:
    """Creates conversations. Chat's row decides who owns an ID, and history stores the conversation."""

    def __init__(self, store: TurnStore, history: History) -> None:
        self._store, self._history = store, history

    async def create(self, user_id: UUID, conversation_id: UUID) -> CreatedConversation:
        """Create a conversation, or return the user's existing one.

        Raises ConversationNotFound if it is deleted or belongs to another user, Erased, and HistoryUnavailable.
        """
        owner = await self._history.owner(conversation_id)
        if owner is not None and (owner.user_id != user_id or owner.deleted):
            raise ConversationNotFound
        if owner is None:
            # The row is written first: of two users with one ID, only one gets it.
            require_owner(await self._store.claim_conversation(conversation_id, user_id), user_id)
        created = await self._history.create(conversation_id, user_id)
        if created is None:
            raise ConversationNotFound
        return created
