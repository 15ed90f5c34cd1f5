"""Parley's own export."""

from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from history.conversations.schemas import MetadataKey, MetadataValue, Role
from history.transfer.drafts import Draft, DraftMessage
from history.transfer.formats.tree import in_order
from parley.web.schemas import Text

LONGEST_CONTENT = 1_000_000
Key = str


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore")


class OwnMessage(_Lenient):
    """A message of an export."""

    id: Key = Field(max_length=100)
    parent_id: Key | None = Field(None, max_length=100)
    role: Role
    content: Text = Field(max_length=LONGEST_CONTENT)
    tool_calls: list[dict[str, Any]] | None = None
    status: Literal["completed", "incomplete", "failed", "cancelled", "running"] = "completed"
    model: Text | None = Field(None, max_length=200)
    created_at: AwareDatetime | None = None


class OwnConversation(_Lenient):
    """The conversation of an export."""

    title: Text | None = None
    archived: bool = False
    active_message_id: Key | None = None
    metadata: dict[MetadataKey, MetadataValue] = Field(default_factory=dict, max_length=16)
    created_at: AwareDatetime | None = None


class OwnExport(_Lenient):
    """One exported conversation."""

    format: Literal["parley.conversation/1"]
    conversation: OwnConversation
    messages: list[OwnMessage]


def read(found: OwnExport) -> Draft:
    """Return the draft of an export; raises BrokenTree."""
    own = found.conversation
    return Draft(
        title=own.title,
        messages=in_order([_message(message) for message in found.messages]),
        created_at=own.created_at,
        active=own.active_message_id,
        archived=own.archived,
        metadata=own.metadata,
    )


def _message(message: OwnMessage) -> DraftMessage:
    return DraftMessage(
        key=message.id,
        parent=message.parent_id,
        role=message.role,
        content=message.content,
        created_at=message.created_at,
        status="incomplete" if message.status == "running" else message.status,
        model=message.model,
        tool_calls=message.tool_calls,
    )
