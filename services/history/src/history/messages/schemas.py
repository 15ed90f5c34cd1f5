"""Response bodies of the message routes."""

from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from parley.times import Timestamp
from parley.web.schemas import Money, ResponseBody
from parley_events.parts import Usage

Role = Literal["user", "assistant", "tool"]
Order = Literal["asc", "desc"]


class BranchMessage(ResponseBody):
    """A message of a branch, for the other services."""

    id: UUID
    parent_id: UUID | None
    role: Role
    content: str
    tool_calls: list[dict[str, Any]] | None
    tool_call_id: str | None = Field(description="The tool call that a message with role `tool` is the result of.")
    created_at: Timestamp
    hidden: bool = False


class BranchResponse(ResponseBody):
    """The newest messages of a branch, newest first; ``more`` tells whether there are older ones."""

    messages: list[BranchMessage]
    more: bool


class Message(ResponseBody):
    """A message in the tree of its conversation. The id of an assistant message is the id of its turn."""

    id: UUID
    conversation_id: UUID
    turn_id: UUID | None
    number: int
    parent_id: UUID | None
    sibling_ids: list[UUID] = Field(description="The first 50 messages with the same parent and role.")
    sibling_count: int = Field(description="Number of messages with the same parent and role, counted up to 1,000.")
    role: Role
    content: str
    tool_calls: list[dict[str, Any]] | None
    tool_call_id: str | None = Field(description="The tool call that a message with role `tool` is the result of.")
    status: str
    finish_reason: str | None
    model: str | None
    usage: Usage | None
    cost: Money | None
    created_at: Timestamp
