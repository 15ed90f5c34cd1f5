"""Conversations to import, independent of the file format."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from history.messages.schemas import Role

MAX_CONTENT_LENGTH = 1_000_000
"""Characters of an imported message."""
MAX_MESSAGES = 10_000
"""Messages of an imported conversation."""


@dataclass(frozen=True, slots=True)
class MessageDraft:
    """A message to import. ``key`` and ``parent`` are ids of the file, not of Parley."""

    key: str
    parent: str | None
    role: Role
    content: str
    created_at: datetime | None = None
    status: str = "completed"
    model: str | None = None
    tool_calls: list[dict[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class ConversationDraft:
    """A conversation to import. ``active`` is the key of its active message."""

    title: str | None
    messages: list[MessageDraft]
    created_at: datetime | None = None
    active: str | None = None
    archived: bool = False
    metadata: dict[str, str] = field(default_factory=dict)
