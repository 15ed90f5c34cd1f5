"""Interface of the turn store."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from chat.model import ConversationState, IdempotencyKey, NewTurn, Outcome, Reservation, Turn
from chat.past_exchanges import PastExchange


class TurnRefused(Exception):
    """The conditions of the admission do not hold. Nothing was stored."""


class CopiesOutdated(Exception):
    """Items were deleted since the request was read, so it may have copies of them. Read it again."""


class TurnsTooLong(Exception):
    """The turns have more characters than may be read for one request."""


class BudgetExceeded(Exception):
    """The reservation exceeds the remaining budget. Nothing was stored."""


@dataclass(frozen=True, slots=True)
class AdmissionResult:
    """The admitted turn with its number, or the earlier turn of the same idempotency key with its body hash."""

    turn_id: UUID
    number: int | None
    body_hash: bytes | None


@dataclass(frozen=True, slots=True)
class IdempotencyRecord:
    """What an idempotency key belongs to: a turn, or a conversation that was created without one, and a body hash."""

    turn_id: UUID
    body_hash: bytes


@dataclass(frozen=True, slots=True)
class TurnSnapshot:
    """A turn, and how many items its conversation had lost at the same moment."""

    turn: Turn
    item_deletions: int


@dataclass(frozen=True, slots=True)
class TurnPage:
    """Turns of a list, and whether the list goes on behind them."""

    turns: Sequence[Turn]
    more: bool


class TurnStore(Protocol):
    """Transactional store of turns. Every method raises DependencyUnavailable."""

    async def admit(self, turn: NewTurn, runner_id: UUID, key: IdempotencyKey | None) -> AdmissionResult:
        """Store a turn and its ``turn.started`` event atomically; raises TurnRefused and BudgetExceeded."""
        ...

    async def move_reservation(self, turn: Turn, model: str, reservation: Reservation) -> bool:
        """Replace the reservation of a running turn by that of the fallback ``model``, and record the model.

        Returns False if the turn has a higher epoch or has ended; raises BudgetExceeded.
        """
        ...

    async def finish(self, turn: Turn, outcome: Outcome) -> Turn | None:
        """End a running turn and store its event atomically; None if the turn has a higher epoch or has ended."""
        ...

    async def get(self, turn_id: UUID) -> Turn | None:
        """Return a turn unless its conversation is deleted."""
        ...

    async def snapshots(self, turn_ids: Collection[UUID], *, characters: int) -> list[TurnSnapshot]:
        """Return those of a few turns that ``get`` returns, to copy their texts into a new turn.

        Raises TurnsTooLong if ``characters`` are reached before the last one.
        """
        ...

    async def find_key(self, user_id: UUID, route: str, key: str) -> IdempotencyRecord | None:
        """Return the record of an idempotency key, None if it is unused or expired."""
        ...

    async def claim_key(self, key: IdempotencyKey, wanted: UUID) -> IdempotencyRecord:
        """Bind an idempotency key to an ID unless it belongs to one already; return its record; raises Erased."""
        ...

    async def conversation(self, conversation_id: UUID) -> ConversationState | None:
        """Return a conversation, None if chat does not store it."""
        ...

    async def claim_conversation(self, conversation_id: UUID, user_id: UUID) -> ConversationState:
        """Store a conversation without turns unless it exists, and return it; raises Erased."""
        ...

    async def is_erased(self, user_id: UUID) -> bool:
        """Tell whether the user was erased."""
        ...

    async def list_turns(
        self,
        user_id: UUID,
        *,
        conversation_id: UUID | None,
        status: str | None,
        before: UUID | None,
        limit: int,
        characters: int,
        with_files: bool = False,
    ) -> TurnPage:
        """Return a user's turns, newest first, up to ``limit`` or the one with which they have ``characters``.

        ``with_files``: only those whose input has files.
        """
        ...

    async def chain(self, conversation_id: UUID, turn_id: UUID, *, characters: int, limit: int) -> list[PastExchange]:
        """Return the ended turns from a turn back to the root, newest first, up to ``characters`` or ``limit``."""
        ...

    async def hide_response(self, turn_id: UUID) -> None:
        """Hide a turn from the Responses API. Its messages stay in the conversation."""
        ...

    async def request_cancel(self, turn_id: UUID) -> None:
        """Request the cancellation of a running turn."""
        ...
