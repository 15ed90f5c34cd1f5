"""A request for a turn, independent of its wire format."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from chat.generation import AnswerGenerator
from chat.model import IdempotencyKey, ToolResult


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """Whether the response cache may answer a turn (``read``) and store its answer (``write``)."""

    read: bool = True
    write: bool = True


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """A turn to admit."""

    user_id: UUID
    plan: str
    request_id: str
    message: str | None
    regenerate: UUID | None = None
    conversation_id: UUID | None = None
    create: bool = False
    """Create the conversation under ``conversation_id`` if it does not exist."""
    parent_id: UUID | None = None
    system_prompt: str | None = None
    model: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    key: IdempotencyKey | None = None
    stored: bool = True
    lenient: bool = False
    """Reduce ``max_tokens`` to the model's maximum instead of refusing the request, as OpenAI's API does."""
    messages: Sequence[dict[str, Any]] | None = None
    """The whole context, if the client sends it (OpenAI's format)."""
    tool_results: tuple[ToolResult, ...] = ()
    """Tool results that the client sends for the first time."""
    answers_tool_results: bool = False
    """The messages end in tool results, not in a user message."""
    options: dict[str, Any] = field(default_factory=dict)
    capabilities: frozenset[str] = frozenset()
    """What a model needs to read the messages: ``vision`` for images."""
    input_messages: Sequence[dict[str, Any]] | None = None
    """The new messages of the context, if they are more than ``message`` and ``tool_results``."""
    context_of: tuple[UUID, UUID] | None = None
    """Conversation and answer whose context a turn has that is not stored."""
    copied_from: dict[UUID, int] = field(default_factory=dict)
    """Conversations that the input has copies of, with the deletions of items that each had when it was read."""
    keeps_system_prompt: bool = True
    """The system prompt becomes the default of the conversation."""
    trims: bool = True
    """Leave out the oldest exchanges that do not fit, instead of refusing the request."""
    results_at: str | None = None
    """JSON pointer of tool results that must be those of the calls of the answer before; None accepts any."""
    embedding: AnswerGenerator | None = None
    """Makes embeddings in place of an answer."""
    prompt_tokens: int = 0
    """Estimated tokens of a request for embeddings."""
    response: dict[str, Any] | None = None
    """Members of the request that the response of the Responses API repeats."""
    cache_policy: CachePolicy = field(default_factory=CachePolicy)
