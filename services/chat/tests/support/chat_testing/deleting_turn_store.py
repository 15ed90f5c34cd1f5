"""In-memory turn store in which a deletion comes between the reading of a request and its admission."""

from collections.abc import Awaitable, Callable
from uuid import UUID

from chat.model import IdempotencyKey, NewTurn
from chat.turn_store import AdmissionResult
from chat_testing.turn_store import InMemoryTurnStore


class DeletingTurnStore(InMemoryTurnStore):
    """Calls ``delete`` once, right before the next admission."""

    delete: Callable[[], Awaitable[object]] | None = None

    async def admit(self, turn: NewTurn, runner_id: UUID, key: IdempotencyKey | None) -> AdmissionResult:
        if self.delete is not None:
            delete, self.delete = self.delete, None
            await delete()
        return await super().admit(turn, runner_id, key)
