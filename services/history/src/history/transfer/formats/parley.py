"""Parley's own export format."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from history.conversations.schemas import Metadata
from history.messages.schemas import Role
from history.transfer.drafts import MAX_CONTENT_LENGTH, MAX_MESSAGES, ConversationDraft, MessageDraft
from history.transfer.formats.message_order import TooManyMessages, parents_first
from parley.web.problems import FieldValueError
from parley.web.schemas import Text

MAX_INVALID = 100
"""Invalid messages of a conversation that are reported."""


class InvalidMessages(ValueError):
    """Some messages are invalid: their positions and errors."""

    def __init__(self, found: Sequence[tuple[int, ValidationError]]) -> None:
        super().__init__(f"{len(found)} messages are invalid.")
        self.found = found


class _ExportModel(BaseModel):
    model_config = ConfigDict(extra="ignore")


def _storable(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if b"\\u0000" in orjson.dumps(calls):
        raise FieldValueError("invalid_text", "Must not contain the NUL character.")
    return calls


class ParleyMessage(_ExportModel):
    """A message in an export."""

    id: str = Field(max_length=100)
    parent_id: str | None = Field(None, max_length=100)
    role: Role
    content: Text = Field(max_length=MAX_CONTENT_LENGTH)
    tool_calls: Annotated[list[dict[str, Any]], AfterValidator(_storable)] | None = None
    status: Literal["completed", "incomplete", "failed", "cancelled", "running"] = "completed"
    model: Text | None = Field(None, max_length=200)
    created_at: AwareDatetime | None = None


class ParleyConversation(_ExportModel):
    """The conversation in an export."""

    title: Text | None = None
    archived: bool = False
    active_message_id: str | None = None
    metadata: Metadata = Field(default_factory=dict)
    created_at: AwareDatetime | None = None


class ParleyExport(_ExportModel):
    """One exported conversation. Its messages are validated one by one, when their number is known."""

    format: Literal["parley.conversation/1"]
    conversation: ParleyConversation
    messages: list[Any]


def read(export: ParleyExport) -> ConversationDraft:
    """Return the draft of an exported conversation; raises InvalidMessages, TooManyMessages or InvalidMessageTree."""
    conversation = export.conversation
    messages = _valid(export.messages)
    return ConversationDraft(
        title=conversation.title,
        messages=parents_first([_message(message) for message in messages]),
        created_at=conversation.created_at,
        active=conversation.active_message_id,
        archived=conversation.archived,
        metadata=conversation.metadata,
    )


def _valid(messages: list[Any]) -> list[ParleyMessage]:
    if len(messages) > MAX_MESSAGES:
        raise TooManyMessages
    valid: list[ParleyMessage] = []
    invalid: list[tuple[int, ValidationError]] = []
    for index, message in enumerate(messages):
        try:
            valid.append(ParleyMessage.model_validate(message))
        except ValidationError as error:
            invalid.append((index, error))
        if len(invalid) == MAX_INVALID:
            break
    if invalid:
        raise InvalidMessages(invalid)
    return valid


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
