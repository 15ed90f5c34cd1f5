"""Parley's own export format."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from history.conversations.schemas import Metadata
from history.messages.schemas import Role
from history.transfer.drafts import (
    MAX_CONTENT_LENGTH,
    MAX_MESSAGES,
    AnswerDetails,
    ConversationDraft,
    ConversationTotals,
    MessageDraft,
    SkippedPart,
)
from history.transfer.formats.lenient import validate
from history.transfer.formats.message_order import Ancestors, TooManyMessages, in_order
from history.transfer.formats.values import in_utc
from parley.web.schemas import Text, max_entries
from parley.web.validation import FieldValueError
from parley_events.parts import Usage

NAME = "Parley's export (`format` is `parley.conversation/1`)"
MAX_INVALID = 100
"""Errors of a conversation's messages that are reported."""
MAX_TOOL_CALLS = 1_000
"""Tool calls of an imported message."""
MAX_CALL_ID = 16_384
"""Characters of the ID of a call, as many as chat accepts."""
MAX_COUNT = 2**53
MAX_COST = 1_000_000_000
MAX_NUMBER = 1_000_000_000
"""Highest number of an imported message. Later turns of the conversation have higher ones, up to 2**31 - 1."""
COST_PLACES = 9
"""Decimal places of a cost that are stored."""

Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Cost = Annotated[
    Decimal,
    Field(ge=0, le=MAX_COST, allow_inf_nan=False),
    AfterValidator(lambda cost: round(cost, COST_PLACES)),  # the driver refuses exponents such as 0E+99999
]


def _in_utc(moment: datetime) -> datetime:
    found = in_utc(moment)
    if found is None:
        raise FieldValueError("out_of_range", "Must be after the year 1 and before the year 9999, in UTC.")
    return found


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class _ExportModel(BaseModel):
    model_config = ConfigDict(extra="ignore")


class ParleyUsage(_ExportModel):
    """Token counts in an export."""

    prompt_tokens: Count
    completion_tokens: Count
    total_tokens: Count
    cached_tokens: Count = 0
    reasoning_tokens: Count = 0
    estimated: bool = False


class ParleyMessage(_ExportModel):
    """A message in an export."""

    id: str = Field(max_length=100)
    parent_id: str | None = Field(None, max_length=100)
    turn_id: str | None = Field(None, max_length=100)
    number: int | None = Field(None, ge=1, le=MAX_NUMBER)
    role: Role
    content: Text = Field(max_length=MAX_CONTENT_LENGTH)
    tool_calls: Annotated[list[dict[str, Any]], max_entries(MAX_TOOL_CALLS)] | None = None
    tool_call_id: Text | None = Field(None, max_length=MAX_CALL_ID)
    status: Literal["completed", "incomplete", "failed", "cancelled", "running"] = "completed"
    finish_reason: Text | None = Field(None, max_length=100)
    model: Text | None = Field(None, max_length=200)
    usage: ParleyUsage | None = None
    cost: Cost | None = None
    created_at: Moment | None = None


class ParleyConversation(_ExportModel):
    """The conversation in an export."""

    title: Text | None = None
    title_source: Literal["auto", "user"] | None = None
    archived: bool = False
    active_message_id: str | None = None
    model: Text | None = Field(None, max_length=200)
    tokens_used: Count = 0
    cost: Cost | None = None
    metadata: Metadata = Field(default_factory=dict)
    created_at: Moment | None = None
    updated_at: Moment | None = None
    last_message_at: Moment | None = None


class ParleyExport(_ExportModel):
    """One exported conversation. Its parts are validated one by one, when their number is known."""

    format: Literal["parley.conversation/1"]
    conversation: Any = None
    messages: list[Any]


def recognises(entry: dict[str, Any]) -> bool:
    """Return whether an entry says that it has this format."""
    return str(entry.get("format")).startswith("parley.")


def read(entry: dict[str, Any]) -> tuple[ConversationDraft, list[SkippedPart]]:
    """Return the draft of an exported conversation and its invalid parts.

    Raises ValidationError, TooManyMessages or InvalidMessageTree.
    """
    export = ParleyExport.model_validate(entry)
    if len(export.messages) > MAX_MESSAGES:
        raise TooManyMessages
    found, skipped = validate(ParleyConversation, export.conversation, frozenset(), "/conversation")
    conversation = found or ParleyConversation()
    messages = _messages(export.messages, skipped)
    draft = ConversationDraft(
        title=conversation.title,
        messages=messages,
        created_at=conversation.created_at,
        active=conversation.active_message_id,
        archived=conversation.archived,
        metadata=conversation.metadata,
        title_source=conversation.title_source,
        model=conversation.model,
        totals=ConversationTotals(
            conversation.tokens_used, conversation.cost, conversation.updated_at, conversation.last_message_at
        ),
        empty=not export.messages,
    )
    return draft, skipped


def _messages(values: list[Any], skipped: list[SkippedPart]) -> list[MessageDraft]:
    """Return the valid messages in the order of the file if that has parents first, else by time.

    The children of an invalid message move up to its parent.
    """
    parents = {value["id"]: value.get("parent_id") for value in values if _has_id(value)}
    valid: dict[str, ParleyMessage] = {}
    errors: list[SkippedPart] = []
    for index, value in enumerate(values):
        message, found = validate(ParleyMessage, value, _REQUIRED, f"/messages/{index}")
        if message is not None and valid.setdefault(message.id, message) is not message:
            found = [SkippedPart(f"/messages/{index}/id", "duplicate_id", "Another message has the same id.")]
        errors.extend(found[: MAX_INVALID - len(errors)])
    skipped.extend(errors)
    ancestors = Ancestors(parents, valid)
    drafts = [_draft(message, ancestors.nearest(message.parent_id)) for message in valid.values()]
    return _numbered(in_order(drafts))


_REQUIRED = frozenset({"id", "role", "content"})


def _has_id(value: Any) -> bool:
    parent = value.get("parent_id") if isinstance(value, dict) else 0
    return (parent is None or isinstance(parent, str)) and isinstance(value.get("id"), str)


def _numbered(messages: list[MessageDraft]) -> list[MessageDraft]:
    """Return the messages with the numbers of the file if their order is that of the numbers, else without any."""
    positions = [(message.number or 0, message.role != "user") for message in messages]
    if all(number for number, _ in positions) and all(one <= two for one, two in pairwise(positions)):
        return messages
    return [replace(message, number=None) for message in messages]


def _draft(message: ParleyMessage, parent: str | None) -> MessageDraft:
    usage = Usage(**message.usage.model_dump()) if message.usage else None
    details = AnswerDetails(message.finish_reason, usage, message.cost)
    return MessageDraft(
        key=message.id,
        parent=parent,
        role=message.role,
        content=message.content,
        created_at=message.created_at,
        status="incomplete" if message.status == "running" else message.status,
        model=message.model,
        tool_calls=message.tool_calls,
        tool_call_id=message.tool_call_id,
        number=message.number,
        turn=message.turn_id,
        details=None if details == AnswerDetails() else details,
    )
