"""Parts of event data: messages, results of tool calls, usage and errors."""

from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from parley_events.fields import Timestamp

ALWAYS_PRESENT = ConfigDict(json_schema_serialization_defaults_required=True)
"""Members with a default are optional for readers but always written: the schemas list them as required."""


class Usage(BaseModel):
    """Token counts of a turn, named as in the OpenAI API. ``estimated`` means that Parley counted, not the provider."""

    model_config = ALWAYS_PRESENT

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False


class UserMessage(BaseModel):
    """The message of the user."""

    id: UUID
    content: str
    created_at: Timestamp


class AssistantMessage(BaseModel):
    """The answer of the model. Its ID is the turn's."""

    model_config = ALWAYS_PRESENT

    id: UUID
    content: str
    tool_calls: list[dict[str, Any]] | None = None
    created_at: Timestamp


class ToolResult(BaseModel):
    """The result of a tool call, which the client sent for this turn."""

    id: UUID
    tool_call_id: str | None
    content: str
    created_at: Timestamp


class ErrorInfo(BaseModel):
    """Why a turn failed: an error code and a sentence of Parley, never the provider's text."""

    code: str
    message: str
