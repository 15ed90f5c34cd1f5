"""The rows of turns, which decide."""

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from chat.model import ConversationState, IdempotencyKey, NewTurn, Outcome, PastExchange, Turn


class TurnRefused(Exception):
    """The admission's conditions did not hold; nothing was stored. ``diagnose`` says why."""


class BudgetExceeded(Exception):
    """The reservation does not fit into what is left of a budget; nothing was stored."""


@dataclass(frozen=True, slots=True)
class AdmissionResult:
    """What an admission said: our turn with its number, or the turn that its key belongs to already."""

    turn_id: UUID
    number: int | None
    body_hash: bytes | None


@dataclass(frozen=True, slots=True)
class IdempotencyRecord:
    """The turn an idempotency key belongs to, and the digest of the body it came with."""

    turn_id: UUID
    body_hash: bytes


class TurnStore(Protocol):
    """The rows that decide."""

    async def admit(self, turn: NewTurn, runner_id: UUID, key: IdempotencyKey | None) -> AdmissionResult:
        """Admit a turn with its ``turn.started`` event in one statement; raises TurnRefused, BudgetExceeded."""
        ...

    async def finish(self, turn: Turn, outcome: Outcome) -> Turn | None:
        """End a running turn of this epoch with its event in one statement; None when it is no longer ours."""
        ...

    async def get(self, turn_id: UUID) -> Turn | None:
        """Return a turn of a conversation that is not deleted."""
        ...

    async def find_key(self, user_id: UUID, route: str, key: str) -> IdempotencyRecord | None:
        """Return who holds an idempotency key."""
        ...

    async def conversation(self, conversation_id: UUID) -> ConversationState | None:
        """Return what chat knows of a conversation."""
        ...

    async def is_erased(self, user_id: UUID) -> bool:
        """Say whether the person was erased."""
        ...

    async def list_turns(
        self, user_id: UUID, *, conversation_id: UUID | None, status: str | None, before: UUID | None, limit: int
    ) -> list[Turn]:
        """Return a person's turns, newest first."""
        ...

    async def chain(self, conversation_id: UUID, turn_id: UUID, *, characters: int, limit: int) -> list[PastExchange]:
        """Return ended turns from one back to the root, newest first, until ``characters`` or ``limit`` is reached."""
        ...

    async def request_cancel(self, turn_id: UUID) -> None:
        """Ask the runner of a turn to stop."""
        ...
