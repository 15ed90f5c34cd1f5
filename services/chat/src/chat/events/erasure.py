"""What chat does when others publish: a deleted conversation, an erased or disabled person."""

from collections.abc import Iterable
from uuid import UUID

import orjson
import structlog
from pydantic import ValidationError

from chat.events.erasure_store import ErasureStore
from chat.running.log_store import LogStore, LogStoreUnavailable
from chat.running.supervisor import Supervisor
from parley_events.cloudevents import CloudEvent
from parley_events.models import ConversationDeleted, UserChanged, UserErased, model_of
from parley_events.subscription import Rejected, Subscription

log = structlog.get_logger()

QUEUE = "chat.lifecycle"
BINDINGS = ("conversation.deleted", "user.erased", "user.disabled")


class LifecycleEventHandler:
    """Handles each event idempotently; what it commits is committed when it returns."""

    def __init__(self, forgetting: ErasureStore, streams: LogStore, supervisor: Supervisor) -> None:
        self._forgetting, self._streams, self._supervisor = forgetting, streams, supervisor

    def subscription(self) -> Subscription:
        """Return what to consume."""
        return Subscription(QUEUE, BINDINGS, self.handle)

    async def handle(self, event: CloudEvent) -> None:
        """Handle one event; one of an unknown version is skipped."""
        model = model_of(event.name, event.version)
        if model is None:
            return
        try:
            data = model.model_validate(orjson.loads(event.data))
        except (orjson.JSONDecodeError, ValidationError) as error:
            raise Rejected("malformed data") from error
        if isinstance(data, ConversationDeleted):
            running = await self._forgetting.delete_conversation(data.conversation_id, data.user_id, data.deleted_at)
            await self._cancel(running)
        elif isinstance(data, UserErased):
            await self._erase(data)
        elif isinstance(data, UserChanged) and data.status == "disabled":
            await self._cancel(await self._forgetting.cancel_all(data.user_id))

    async def _cancel(self, turn_ids: Iterable[UUID]) -> None:
        for turn_id in turn_ids:
            self._supervisor.stop(turn_id, "cancelled")
            await self._streams.publish_cancellation(turn_id)

    async def _erase(self, data: UserErased) -> None:
        for turn_id, epoch in await self._forgetting.erase(data.user_id, data.erasure_id):
            self._supervisor.stop(turn_id, "fenced")
            await self._streams.publish_cancellation(turn_id)
            try:
                await self._streams.erase(turn_id, epoch)
            except LogStoreUnavailable:
                # The copy ends by itself; no reader gets at it, because the conversation is gone.
                log.warning("copy of an erased log left to expire")
