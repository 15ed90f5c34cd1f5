"""What a person asks for, whichever wire it came on."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from chat.admission.context_window import PromptContext, require_fit
from chat.catalogue import Model
from chat.model import IdempotencyKey
from chat.token_estimate import estimate_messages


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """Whether a turn may be answered like an earlier one (``read``), and later ones like it (``write``)."""

    read: bool = True
    write: bool = True


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """A turn to open. ``token`` is the caller's, for questions to history."""

    user_id: UUID
    plan: str
    token: str = field(repr=False)
    request_id: str
    message: str | None
    regenerate: UUID | None = None
    conversation_id: UUID | None = None
    parent_id: UUID | None = None
    system_prompt: str | None = None
    model: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    key: IdempotencyKey | None = None
    stored: bool = True
    lenient: bool = False
    """More ``max_tokens`` than the model has are cut, not refused (OpenAI's clients send what they like)."""
    messages: Sequence[dict[str, Any]] | None = None
    """The whole context, when the client holds it itself (OpenAI's wire)."""
    options: dict[str, Any] = field(default_factory=dict)
    reuse: CachePolicy = field(default_factory=CachePolicy)

    def own_context(self, model: Model) -> PromptContext:
        """Return the context that the client sent; raises ContextLengthExceeded."""
        messages = list(self.messages or ())
        needed = estimate_messages(messages)
        require_fit(needed, model)
        wanted = min(self.max_tokens or model.max_output_tokens, model.max_output_tokens)
        return PromptContext(messages, needed, min(wanted, model.context_window - needed), "complete", 0)
