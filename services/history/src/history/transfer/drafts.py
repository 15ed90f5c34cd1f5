"""Conversations to import, independent of the file format."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from history.messages.schemas import Role
from parley_events.parts import Usage

MAX_CONTENT_LENGTH = 1_000_000
"""Characters of an imported message."""
MAX_MESSAGES = 10_000
"""Messages of an imported conversation."""


@dataclass(frozen=True, slots=True)
class AnswerDetails:
    """How an answer was made, as an export of Parley tells. It is shown and exported again, and never billed."""

    finish_reason: str | None = None
    usage: Usage | None = None
    cost: Decimal | None = None


@dataclass(frozen=True, slots=True)
class MessageDraft:
    """A message to import. ``key``, ``parent`` and ``turn`` are ids of the file, not of Parley.

    ``number`` is kept when every message of the conversation has one.
    """

    key: str
    parent: str | None
    role: Role
    content: str
    created_at: datetime | None = None
    status: str = "completed"
    model: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None
    number: int | None = None
    turn: str | None = None
    details: AnswerDetails | None = None


@dataclass(frozen=True, slots=True)
class ConversationTotals:
    """Totals of a conversation, as an export of Parley tells."""

    tokens_used: int = 0
    cost: Decimal | None = None
    updated_at: datetime | None = None
    last_message_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ConversationDraft:
    """A conversation to import. ``active`` is the key of its active message; ``empty`` says that it had no messages."""

    title: str | None
    messages: list[MessageDraft]
    created_at: datetime | None = None
    active: str | None = None
    archived: bool = False
    metadata: dict[str, str] = field(default_factory=dict)
    title_source: Literal["auto", "user"] | None = None
    model: str | None = None
    totals: ConversationTotals = ConversationTotals()
    empty: bool = False


@dataclass(frozen=True, slots=True)
class SkippedPart:
    """A part of an entry that is not imported: a JSON pointer into the entry, a code and the reason."""

    pointer: str
    code: str
    detail: str
