"""Parley's own export format."""

from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from history.conversations.schemas import MetadataKey, MetadataValue
from history.messages.schemas import Role
from history.transfer.drafts import MAX_CONTENT_LENGTH, ConversationDraft, MessageDraft
from history.transfer.formats.message_order import parents_first
from parley.web.schemas import Text


class _ExportModel(BaseModel):
    model_config = ConfigDict(extra="ignore")


class ParleyMessage(_ExportModel):
    """A message in an export."""

    id: str = Field(max_length=100)
    parent_id: str | None = Field(None, max_length=100)
    role: Role
    content: Text = Field(max_length=MAX_CONTENT_LENGTH)
    tool_calls: list[dict[str, Any]] | None = None
    status: Literal["completed", "incomplete", "failed", "cancelled", "running"] = "completed"
    model: Text | None = Field(None, max_length=200)
    created_at: AwareDatetime | None = None


class ParleyConversation(_ExportModel):
    """The conversation in an export."""

    title: Text | None = None
    archived: bool = False
    active_message_id: str | None = None
    metadata: dict[MetadataKey, MetadataValue] = Field(default_factory=dict, max_length=16)
    created_at: AwareDatetime | None = None


class ParleyExport(_ExportModel):
    """One exported conversation."""

    format: Literal["parley.conversation/1"]
    conversation: ParleyConversation
    messages: list[ParleyMessage]


def read(export: ParleyExport) -> ConversationDraft:
    """Return the draft of an exported conversation; raises InvalidMessageTree."""
    conversation = export.conversation
    return ConversationDraft(
        title=conversation.title,
        messages=parents_first([_message(message) for message in export.messages]),
        created_at=conversation.created_at,
        active=conversation.active_message_id,
        archived=conversation.archived,
        metadata=conversation.metadata,
    )


def _message(message: ParleyMessage) -> MessageDraft:
    return MessageDraft(
        key=message.id,
        parent=message.parent_id,
        role=message.role,
        content=message.content,
        created_at=message.created_at,
        status="incomplete" if message.status == "running" else message.status,
        model=message.model,
        tool_calls=message.tool_calls,
    )
