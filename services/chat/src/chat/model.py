"""What a turn is: the row that decides, the entries that show, and how it can end."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from parley_events.models import Usage

Status = Literal["running", "completed", "incomplete", "failed", "cancelled"]
FinalStatus = Literal["completed", "incomplete", "failed", "cancelled"]
ContextState = Literal["complete", "trimmed", "partial"]

FIRST_SEQ = 1
"""The seq of the event that says that a turn began; its deltas follow from 2 on."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One step of an answer: a delta of text, or deltas of tool calls in OpenAI's form."""

    text: str = ""
    tool_calls: tuple[dict[str, Any], ...] = ()

    def to_json(self) -> str | dict[str, Any]:
        """Return the form in which the row and the log's copy keep it."""
        return {"tool_calls": list(self.tool_calls)} if self.tool_calls else self.text

    @classmethod
    def from_json(cls, stored: str | dict[str, Any]) -> "LogEntry":
        """Read what ``to_json`` wrote."""
        return cls(stored) if isinstance(stored, str) else cls("", tuple(stored["tool_calls"]))


@dataclass(frozen=True, slots=True)
class TurnError:
    """Why a turn failed: a code of ours and a sentence; ``retry_after`` in seconds when the provider named one."""

    code: str
    message: str
    retry_after: int | None = None


@dataclass(frozen=True, slots=True)
class Reservation:
    """What a turn may use of the budgets of some periods: tokens, and US dollars."""

    periods: tuple[str, ...] = ()
    tokens: int = 0
    cost: Decimal = Decimal(0)
    token_limits: tuple[int | None, ...] = ()
    cost_limits: tuple[Decimal | None, ...] = ()


@dataclass(frozen=True, slots=True)
class NewTurn:
    """A turn to be admitted; its number is given by the database."""

    id: UUID
    user_id: UUID
    conversation_id: UUID | None
    parent_id: UUID | None
    regenerate: UUID | None
    user_message_id: UUID
    user_message: str
    user_message_at: datetime
    system_prompt: str | None
    model: str
    metadata: dict[str, str]
    request_id: str
    context: ContextState
    omitted_turns: int
    prompt_tokens: int
    deadline_at: datetime
    created_at: datetime
    first_number: int = 1
    """The number of the first turn, when chat does not know the conversation yet."""
    adopted: bool = False
    head: UUID | None = None
    """The newest answer of a conversation that is adopted with this turn."""
    follows_latest: bool = False
    """Admit only while ``parent_id`` is still the newest turn with output."""
    keep_system_prompt: bool = False
    """The system prompt was sent with this turn: later turns without one use it."""
    reservation: Reservation = field(default_factory=Reservation)


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """An idempotency key in its scope, and the digest of the body it came with."""

    user_id: UUID
    route: str
    key: str
    body_hash: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a turn ended."""

    status: FinalStatus
    finish_reason: str
    entries: tuple[LogEntry, ...]
    content: str
    tool_calls: list[dict[str, Any]] | None
    usage: Usage
    cost: Decimal | None
    price_version: str | None
    provider: str | None
    provider_model: str | None
    error: TurnError | None
    finished_at: datetime
    time_to_first_token_ms: int | None = None
    log_lost: bool = False
    cached: bool = False
    """It is the answer of an earlier turn; no provider was asked."""

    @property
    def has_output(self) -> bool:
        """Say whether a later turn can follow this answer."""
        return bool(self.content or self.tool_calls)


@dataclass(frozen=True, slots=True)
class Turn:
    """A row of ``turns``."""

    id: UUID
    user_id: UUID
    conversation_id: UUID | None
    number: int
    parent_id: UUID | None
    regenerate: UUID | None
    user_message_id: UUID
    user_message: str
    user_message_at: datetime
    system_prompt: str | None
    model: str
    provider: str | None
    provider_model: str | None
    metadata: dict[str, str]
    request_id: str
    context: ContextState
    omitted_turns: int
    prompt_tokens: int
    status: Status
    finish_reason: str | None
    epoch: int
    runner_id: UUID
    deadline_at: datetime
    entries: tuple[LogEntry, ...]
    content: str | None
    tool_calls: list[dict[str, Any]] | None
    usage: Usage | None
    cost: Decimal | None
    price_version: str | None
    error: TurnError | None
    time_to_first_token_ms: int | None
    log_lost: bool
    cached: bool
    created_at: datetime
    started_at: datetime
    finished_at: datetime | None
    cancel_requested: bool = False

    @property
    def stored(self) -> bool:
        """Say whether the turn belongs to a conversation; one that does not is only metered."""
        return self.conversation_id is not None

    @property
    def running(self) -> bool:
        """Say whether the turn has not ended."""
        return self.status == "running"

    @property
    def last_seq(self) -> int:
        """Return the seq of the last event of an ended turn."""
        return FIRST_SEQ + len(self.entries) + 1


@dataclass(frozen=True, slots=True)
class ConversationState:
    """What chat knows of a conversation."""

    id: UUID
    user_id: UUID
    deleted: bool
    latest_turn_id: UUID | None
    system_prompt: str | None
    running_turn_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class PastExchange:
    """A question and its answer, as the model is shown them again."""

    turn_id: UUID
    parent_id: UUID | None
    user_message: str
    answer: str
    tool_calls: list[dict[str, Any]] | None = None
