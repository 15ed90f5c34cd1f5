"""Schemas of the events of a turn's stream, for the API's documentation. ``projection`` writes the events."""

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel

from chat.protocols.parley.schemas import TurnStatus
from parley_events.parts import ErrorInfo, Usage


class TurnStartedEvent(BaseModel):
    """First event of a turn, sent before any token."""

    turn_id: UUID
    conversation_id: UUID | None
    delta: Literal[""]
    finished: Literal[False]
    status: Literal["running"]
    message_id: UUID
    user_message_id: UUID
    model: str


class TurnDeltaEvent(BaseModel):
    """More of the answer: text, tool calls in OpenAI's delta form, or the model's reasoning."""

    turn_id: UUID
    conversation_id: UUID | None
    delta: str
    finished: Literal[False]
    tool_calls: list[dict[str, Any]] | None = None
    reasoning: str | None = None


class TurnFinishedEvent(BaseModel):
    """Last event of a turn."""

    turn_id: UUID
    conversation_id: UUID | None
    delta: Literal[""]
    finished: Literal[True]
    status: TurnStatus
    finish_reason: str | None
    tokens_used: int | None
    usage: Usage | None
    cost_estimate: float | None
    cost: str | None
    cached: bool
    error: ErrorInfo | None
    context: Literal["complete", "trimmed", "partial"]
    context_omitted_turns: int


class DrainingEvent(BaseModel):
    """The server shuts down. The turn goes on: connect again after the delay, and resume."""

    retry_after_ms: int


class InterruptedEvent(BaseModel):
    """The connection to the turn was lost. Resume it."""

    code: str


class SessionRevokedEvent(BaseModel):
    """The session of the access token was ended. Log in again."""
