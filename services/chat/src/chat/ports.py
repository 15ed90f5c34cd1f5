"""What chat needs from the world. Adapters implement these; tests pass their own."""

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol
from uuid import UUID

from chat.domain import Conversation, Entry, Exchange, Key, NewTurn, Outcome, Turn
from parley.events import Usage


class TurnRefused(Exception):
    """The admission's conditions did not hold; nothing was stored. ``diagnose`` says why."""


class BudgetExceeded(Exception):
    """The reservation does not fit into what is left of a budget; nothing was stored."""


@dataclass(frozen=True, slots=True)
class Admission:
    """What an admission said: our turn with its number, or the turn that its key belongs to already."""

    turn_id: UUID
    number: int | None
    body_hash: bytes | None


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """The turn an idempotency key belongs to, and the digest of the body it came with."""

    turn_id: UUID
    body_hash: bytes


class TurnStore(Protocol):
    """The rows that decide."""

    async def admit(self, turn: NewTurn, runner_id: UUID, key: Key | None) -> Admission:
        """Admit a turn with its ``turn.started`` event in one statement; raises TurnRefused, BudgetExceeded."""
        ...

    async def finish(self, turn: Turn, outcome: Outcome) -> Turn | None:
        """End a running turn of this epoch with its event in one statement; None when it is no longer ours."""
        ...

    async def get(self, turn_id: UUID) -> Turn | None:
        """Return a turn of a conversation that is not deleted."""
        ...

    async def find_key(self, user_id: UUID, route: str, key: str) -> KeyHolder | None:
        """Return who holds an idempotency key."""
        ...

    async def conversation(self, conversation_id: UUID) -> Conversation | None:
        """Return what chat knows of a conversation."""
        ...

    async def erased(self, user_id: UUID) -> bool:
        """Say whether the person was erased."""
        ...

    async def list_turns(
        self, user_id: UUID, *, conversation_id: UUID | None, status: str | None, before: UUID | None, limit: int
    ) -> list[Turn]:
        """Return a person's turns, newest first."""
        ...

    async def chain(self, conversation_id: UUID, turn_id: UUID, *, characters: int, limit: int) -> list[Exchange]:
        """Return ended turns from one back to the root, newest first, until ``characters`` or ``limit`` is reached."""
        ...

    async def request_cancel(self, turn_id: UUID) -> None:
        """Ask the runner of a turn to stop."""
        ...


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose conversation history says it is."""

    user_id: UUID
    deleted: bool
    last_number: int = 0


@dataclass(frozen=True, slots=True)
class Redo:
    """What a regeneration needs of the answer it redoes."""

    parent_id: UUID | None
    user_message_id: UUID
    user_message: str
    user_message_at: datetime


class ConversationOwners(Protocol):
    """Who owns a conversation that chat has never seen."""

    async def owner(self, conversation_id: UUID) -> Owner | None:
        """Return the owner, None when there is no such conversation; raises HistoryUnavailable."""
        ...


class PastMessages(Protocol):
    """What is older than chat's own turns; asked with the caller's token."""

    async def latest_answer(self, conversation_id: UUID, token: str) -> UUID | None:
        """Return the newest answer of a conversation; raises HistoryUnavailable."""
        ...

    async def exchanges(self, conversation_id: UUID, message_id: UUID, token: str) -> list[Exchange]:
        """Return the exchanges from an answer back to the root, newest first; empty when there is no such answer.

        Raises HistoryUnavailable, also when it takes too long.
        """
        ...

    async def redo(self, conversation_id: UUID, message_id: UUID, token: str) -> Redo | None:
        """Return what it takes to redo an answer, None when there is none; raises HistoryUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a provider is asked: messages and options on OpenAI's wire."""

    messages: Sequence[dict[str, Any]]
    max_tokens: int
    temperature: float | None = None
    options: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """What a provider says at one time; the last one has ``finish_reason``, and usage if the provider counts."""

    entry: Entry | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    response_model: str | None = None
    """Which model the provider says has answered; comes with the usage."""


class Provider(Protocol):
    """A model server."""

    def stream(self, provider_model: str, prompt: Prompt) -> AsyncGenerator[Sequence[Piece], None]:
        """Yield the answer, pieces that came together at once; raises ProviderFailure. Closing it ends the call."""
        ...


class CopyUnavailable(Exception):
    """The copies of logs cannot be reached right now."""


Appended = Literal["appended", "missing", "refused"]
"""``missing``: there is no copy (any more); ``refused``: what it holds is newer than what was to be appended."""


@dataclass(frozen=True, slots=True)
class Append:
    """Entries for one log; None stands for its beginning (seq 1). ``create`` begins a copy."""

    turn_id: UUID
    epoch: int
    seq: int
    entries: Sequence[Entry | None]
    create: bool = False


@dataclass(frozen=True, slots=True)
class Copied:
    """One item of a copy: an entry, the beginning or a seal (None), or the hint that the turn has ended."""

    epoch: int
    seq: int
    entry: Entry | None
    end: bool = False


class StreamStore(Protocol):
    """The copies of running logs, for readers on other replicas and for recovery. All raise CopyUnavailable."""

    async def append(self, batches: Sequence[Append]) -> list[Appended]:
        """Append to many logs in one round trip."""
        ...

    async def end(self, turn_id: UUID, epoch: int, seq: int) -> None:
        """Hint that a turn has ended, and let its copy go soon."""
        ...

    async def seal(self, turn_id: UUID, epoch: int) -> list[Copied]:
        """Shut out all lower epochs, then return what they wrote."""
        ...

    async def read(self, turn_id: UUID) -> list[Copied]:
        """Return the whole copy."""
        ...

    async def top(self, turn_id: UUID) -> tuple[int, int] | None:
        """Return epoch and seq of the newest entry, None without a copy."""
        ...

    async def tail(self, cursors: Mapping[UUID, tuple[int, int]], wait: float) -> dict[UUID, list[Copied]]:
        """Wait up to ``wait`` seconds for what is behind the cursors of many logs."""
        ...

    async def ping(self) -> None:
        """Return when the store answers."""
        ...

    async def forget(self, turn_id: UUID, epoch: int) -> None:
        """Replace the copy by a seal, so that a runner which does not know yet writes nothing more."""
        ...

    async def mark_read(self, turn_ids: Collection[UUID], seconds: float) -> None:
        """Note that turns have readers on some replica; it is forgotten after ``seconds``."""
        ...

    async def is_read(self, turn_id: UUID) -> bool:
        """Say whether a turn was marked as read not long ago."""
        ...

    async def hint_cancel(self, turn_id: UUID) -> None:
        """Tell all replicas that a turn is to end; never raises."""
        ...

    def cancels(self) -> AsyncGenerator[UUID, None]:
        """Yield the turns that are to end."""
        ...


class RunnerStore(Protocol):
    """Who runs turns, and whose turns nobody runs any more."""

    async def beat(self, runner_id: UUID, lease: float) -> list[UUID]:
        """Renew a lease for ``lease`` seconds; returns this runner's turns that are to be cancelled."""
        ...

    async def leave(self, runner_id: UUID) -> None:
        """End a lease now."""
        ...

    async def take_over(self, runner_id: UUID, running: Collection[UUID], limit: int) -> list[Turn]:
        """Take turns whose runner's lease has ended, and own ones that are not ``running``: their epoch grows."""
        ...

    async def rows(self, turn_ids: Collection[UUID]) -> dict[UUID, Turn]:
        """Return turns by id."""
        ...


class Forgetting(Protocol):
    """What must never come back."""

    async def delete_conversation(self, conversation_id: UUID, user_id: UUID, deleted_at: datetime) -> list[UUID]:
        """Leave a tombstone and blank what is there; returns the turns that still run, to be cancelled."""
        ...

    async def cancel_all(self, user_id: UUID) -> list[UUID]:
        """Ask for the end of a person's running turns; returns them."""
        ...

    async def erase(self, user_id: UUID, erasure_id: str) -> list[tuple[UUID, int]]:
        """Forget a person in one transaction and confirm it; returns ids and epochs of the turns that were running."""
        ...

    async def blank_stragglers(self) -> int:
        """Blank turns that ended after their conversation was deleted; returns of how many conversations."""
        ...


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """An ended turn of which history has not been heard."""

    turn_id: UUID
    finished_at: datetime


class Upkeep(Protocol):
    """What is done each minute to the rows."""

    async def unconfirmed(self, after: Unconfirmed | None, *, older_than: float, limit: int) -> list[Unconfirmed]:
        """Return a page of ended turns that nobody has confirmed, oldest first."""
        ...

    async def confirm(self, turn_ids: Collection[UUID]) -> None:
        """Note that history has these turns."""
        ...

    async def republish(self, turn_ids: Collection[UUID], *, older_than: float) -> int:
        """Publish the events of turns again that were sent more than some seconds ago; returns how many."""
        ...

    async def purge(self, *, turns: float, events: float) -> int:
        """Delete a batch of what is confirmed and older than these seconds; returns how many rows."""
        ...


class KnownTurns(Protocol):
    """What history says that it has."""

    async def known(self, turn_ids: list[UUID]) -> set[UUID]:
        """Return which of at most 1,000 turns history has stored; raises HistoryUnavailable."""
        ...
