"""Turns, log entries and outcomes."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, NamedTuple
from uuid import UUID

from parley_events.parts import Usage

Status = Literal["running", "completed", "incomplete", "failed", "cancelled"]
FinalStatus = Literal["completed", "incomplete", "failed", "cancelled"]
ContextState = Literal["complete", "trimmed", "partial"]

EMPTY_USAGE = Usage(prompt_tokens=0, completion_tokens=0, total_tokens=0)

INSERTED = "inserted"
"""Finish reason of a turn that nobody generated: its user put its items into the conversation."""
FIRST_SEQ = 1
"""Sequence number of a turn's first event. Deltas start at 2."""


class LogEntry(NamedTuple):
    """One delta of an answer: text, tool calls in OpenAI's delta format, or the model's reasoning before its answer.

    ``logprobs`` are those of the text's tokens, as a JSON array, if the client asked for them.

    A tuple, because one is made for every token.
    """

    text: str = ""
    tool_calls: tuple[dict[str, Any], ...] = ()
    reasoning: str = ""
    logprobs: str = ""

    def length(self) -> int:
        """Return the number of characters."""
        text, calls, reasoning, _ = self
        return len(text) + len(reasoning) + (sum(len(str(call)) for call in calls) if calls else 0)

    def to_json(self) -> str | dict[str, Any]:
        """Return the stored form: a string for text, else an object."""
        if self.reasoning:
            # `tool_calls` is there for replicas of an older version, which take the entry for an empty delta.
            return {"tool_calls": [], "reasoning": self.reasoning}
        if self.logprobs:
            return {"tool_calls": [], "text": self.text, "logprobs": self.logprobs}
        return {"tool_calls": list(self.tool_calls)} if self.tool_calls else self.text

    @classmethod
    def from_json(cls, stored: str | dict[str, Any]) -> "LogEntry":
        """Return the entry of a stored form."""
        if isinstance(stored, str):
            return cls(stored)
        text, logprobs = stored.get("text", ""), stored.get("logprobs", "")
        return cls(text, tuple(stored["tool_calls"]), stored.get("reasoning", ""), logprobs)


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The result of a tool call, as the client sent it."""

    id: UUID
    tool_call_id: str | None
    content: str


@dataclass(frozen=True, slots=True)
class TurnError:
    """Error code and message of a failed turn; ``retry_after`` is in seconds, if the provider sent it."""

    code: str
    message: str
    retry_after: int | None = None


@dataclass(frozen=True, slots=True)
class Reservation:
    """Tokens and US dollars that a turn reserves in each budget period."""

    periods: tuple[str, ...] = ()
    tokens: int = 0
    cost: Decimal = Decimal(0)
    token_limits: tuple[int | None, ...] = ()
    cost_limits: tuple[Decimal | None, ...] = ()


@dataclass(frozen=True, slots=True)
class NewTurn:
    """A turn before its admission. The database assigns its number."""

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
    """Number of the turn if the conversation is not in chat's database."""
    adopted: bool = False
    """The conversation exists in history only; admission creates its row."""
    head: UUID | None = None
    """Newest answer of an adopted conversation."""
    follows_latest: bool = False
    """Refuse the admission unless ``parent_id`` is still the newest turn with output."""
    item_deletions: int = 0
    copied_from: dict[UUID, int] = field(default_factory=dict)
    """Deletions of items in its conversation, and in those it copies from. If one has grown, the turn is refused."""
    kept_system_prompt: str | None = None
    """The system prompt to keep for later turns of the conversation. Empty: remove it. None: leave it as it is."""
    reservation: Reservation = field(default_factory=Reservation)
    tool_results: tuple[ToolResult, ...] = ()
    continues: bool = False
    """Answers ``tool_results``. The user message is that of an earlier turn."""
    response: dict[str, Any] | None = None
    """The request of a client of the Responses API, as its responses repeat it."""


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """An idempotency key with its scope and the digest of the request body."""

    user_id: UUID
    route: str
    key: str
    body_hash: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """Final state of a turn."""

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
    """Whether readers may have seen events that were lost with the runner before they were in its log."""
    cached: bool = False
    """The answer comes from the response cache."""

    @property
    def has_output(self) -> bool:
        """Tell whether a later turn can follow this answer."""
        return bool(self.content or self.tool_calls)


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn as stored in the ``turns`` table."""

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
    answering_model: str | None = None
    """The fallback model that answers; None for ``model``."""
    tool_results: tuple[ToolResult, ...] = ()
    continues: bool = False
    response: dict[str, Any] | None = None
    """The request of a client of the Responses API; None for turns of other clients."""

    @property
    def stored(self) -> bool:
        """Tell whether the turn belongs to a conversation. Other turns are metered but not listed."""
        return self.conversation_id is not None

    @property
    def inserted(self) -> bool:
        """Tell whether its user put the turn into the conversation, perhaps without an answer."""
        return self.finish_reason == INSERTED

    @property
    def running(self) -> bool:
        """Tell whether the turn has not ended yet."""
        return self.status == "running"

    @property
    def last_seq(self) -> int:
        """Return the sequence number of an ended turn's last event."""
        return FIRST_SEQ + len(self.entries) + 1


@dataclass(frozen=True, slots=True)
class ConversationState:
    """A conversation as stored by chat."""

    id: UUID
    user_id: UUID
    deleted: bool
    latest_turn_id: UUID | None
    system_prompt: str | None
    running_turn_id: UUID | None = None
    next_number: int = 1
    newest_turn_at: datetime | None = None
    """Start of the newest turn."""
    item_deletions: int = 0
