"""Consumer of lifecycle events: deleted conversations, erased users and disabled users."""

from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from uuid import UUID

import structlog

from chat.events.erasure_store import TurnErasureStore
from chat.running.supervisor import Supervisor
from chat.running.turn_log_store import LogStore, LogStoreUnavailable
from parley_events.cloudevents import CloudEvent
from parley_events.decoding import decode
from parley_events.models import ConversationDeleted, UserChanged, UserErased
from parley_events.subscription import Subscription

log = structlog.get_logger()

QUEUE = "chat.lifecycle"
EraseFiles = Callable[[UUID], Awaitable[None]]
BINDINGS = ("conversation.deleted", "user.erased", "user.disabled")


class LifecycleEventHandler:
    """Applies lifecycle events idempotently. All changes are committed when ``handle`` returns."""

    def __init__(
        self, store: TurnErasureStore, log_store: LogStore, supervisor: Supervisor, erase_files: EraseFiles
    ) -> None:
        self._store, self._log_store, self._supervisor = store, log_store, supervisor
        self._erase_files = erase_files

    def subscription(self) -> Subscription:
        """Return the subscription of chat."""
        return Subscription(QUEUE, BINDINGS, self.handle)

    async def handle(self, event: CloudEvent) -> None:
        """Apply one event. Events of an unknown name or version are skipped; raises Rejected for malformed data."""
        data = decode(event)
        if isinstance(data, ConversationDeleted):
            await self.delete_conversation(data.conversation_id, data.user_id, data.deleted_at)
        elif isinstance(data, UserErased):
            await self._erase(data)
        elif isinstance(data, UserChanged) and data.status == "disabled":
            await self._cancel(await self._store.cancel_all(data.user_id))

    async def delete_conversation(self, conversation_id: UUID, user_id: UUID, deleted_at: datetime) -> None:
        """Delete a conversation and cancel its running turns."""
        await self._cancel(await self._store.delete_conversation(conversation_id, user_id, deleted_at))
        await self._store.blank_conversation(conversation_id)

    async def _cancel(self, turn_ids: Iterable[UUID]) -> None:
        for turn_id in turn_ids:
            self._supervisor.stop(turn_id, "cancelled")
            await self._log_store.publish_cancellation(turn_id)

    async def _erase(self, data: UserErased) -> None:
        while ended := await self._store.end_turns(data.user_id):
            for turn_id, epoch in ended:
                await self._stop(turn_id, epoch)
        # Before the store confirms the erasure: while the storage is away, the event comes again.
        await self._erase_files(data.user_id)
        await self._store.erase(data.user_id, data.erasure_id)

    async def _stop(self, turn_id: UUID, epoch: int) -> None:
        self._supervisor.stop(turn_id, "fenced")
        await self._log_store.publish_cancellation(turn_id)
        try:
            await self._log_store.erase(turn_id, epoch)
        except LogStoreUnavailable:
            # The stored log expires by itself. No reader reaches it, because the conversation is deleted.
            log.warning("erased_log_left_to_expire", turn_id=str(turn_id))
