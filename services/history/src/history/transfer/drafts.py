"""What is to be imported, whatever file it comes from."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from history.conversations.schemas import Role


@dataclass(frozen=True, slots=True)
class DraftMessage:
    """A message that is to be imported; keys are its file's own."""

    key: str
    parent: str | None
    role: Role
    content: str
    created_at: datetime | None = None
    status: str = "completed"
    model: str | None = None
    tool_calls: list[dict[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """A conversation that is to be imported."""

    title: str | None
    messages: list[DraftMessage]
    created_at: datetime | None = None
    active: str | None = None
    archived: bool = False
    metadata: dict[str, str] = field(default_factory=dict)
