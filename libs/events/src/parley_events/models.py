"""Event models: the data of each event type. The AsyncAPI document and the JSON Schemas are generated from them."""

from typing import Any, ClassVar, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from parley_events.fields import Money, Timestamp
from parley_events.parts import ALWAYS_PRESENT, AssistantMessage, ErrorInfo, ToolResult, Usage, UserMessage

Metadata = dict[str, str]
FinalStatus = Literal["completed", "incomplete", "failed", "cancelled"]
RevocationReason = Literal["logout", "password_change", "reuse", "admin", "disabled", "erased"]


class EventData(BaseModel):
    """The ``data`` of an event. Unknown members are ignored.

    ``names`` are the event types, without prefix and version, that share this model. ``source`` is the service that
    publishes them; it is empty if several services do.
    """

    model_config = ConfigDict(**ALWAYS_PRESENT, extra="ignore", frozen=True)
    names: ClassVar[tuple[str, ...]] = ()
    schema_version: ClassVar[int] = 1
    source: ClassVar[str] = ""


class TurnStarted(EventData):
    """A turn was admitted. Exactly one terminal event follows."""

    names = ("conversation.turn.started",)
    source = "/services/chat"

    turn_id: UUID
    conversation_id: UUID
    user_id: UUID
    number: int
    stored: bool
    parent_id: UUID | None
    regenerate: UUID | None
    user_message: UserMessage
    tool_results: list[ToolResult] = []
    """They follow the user message, or the answer ``parent_id`` if ``continues``."""
    continues: bool = False
    """The turn answers the tool results. Its user message is that of an earlier turn."""
    message_id: UUID
    model: str
    system_prompt: str | None
    metadata: Metadata
    request_id: str
    started_at: Timestamp


class TurnEnded(EventData):
    """A turn ended. The event is self-contained: it can be stored without ``conversation.turn.started``."""

    names: ClassVar[tuple[str, ...]] = (
        "conversation.turn.completed",
        "conversation.turn.incomplete",
        "conversation.turn.failed",
        "conversation.turn.cancelled",
    )
    source = "/services/chat"

    turn_id: UUID
    conversation_id: UUID | None
    user_id: UUID
    number: int
    stored: bool
    parent_id: UUID | None
    regenerate: UUID | None
    user_message: UserMessage | None
    tool_results: list[ToolResult] = []
    """They follow the user message, or the answer ``parent_id`` if ``continues``."""
    continues: bool = False
    """The turn answers the tool results. Its user message is that of an earlier turn."""
    message: AssistantMessage | None
    model: str
    provider: str | None
    provider_model: str | None
    system_prompt: str | None
    metadata: Metadata
    status: FinalStatus
    finish_reason: str
    usage: Usage | None
    cost: Money | None
    currency: Literal["USD"] = "USD"
    price_version: str | None
    cached: bool
    error: ErrorInfo | None
    request_id: str
    started_at: Timestamp
    finished_at: Timestamp
    time_to_first_token_ms: int | None


class TurnRedacted(TurnEnded):
    """The user deleted items of an ended turn: the terminal event as it is without them.

    It replaces what a subscriber has stored of the turn, unless that has a higher ``revision``.
    """

    names = ("conversation.turn.redacted",)

    revision: int
    """How many items of the turn were deleted so far."""
    deleted_message_ids: list[UUID]
    """The messages of the turn of which nothing is left. The text of others may have changed."""


class ConversationCreated(EventData):
    """A conversation was created in history."""

    names = ("conversation.created",)
    source = "/services/history"

    conversation_id: UUID
    user_id: UUID
    origin: Literal["chat", "import"]
    title: str | None
    metadata: Metadata
    created_at: Timestamp


class ConversationUpdated(EventData):
    """The title, archived flag, active message or metadata of a conversation changed."""

    names = ("conversation.updated",)
    source = "/services/history"

    conversation_id: UUID
    user_id: UUID
    version: int
    changed: dict[str, Any]
    updated_at: Timestamp


class ConversationDeleted(EventData):
    """A conversation was deleted by its owner."""

    names = ("conversation.deleted",)
    source = "/services/history"

    conversation_id: UUID
    user_id: UUID
    deleted_at: Timestamp
    purge_after: Timestamp


class UserChanged(EventData):
    """An account was registered, changed or disabled. An invited account, which has no password yet, is ``active``."""

    names = ("user.registered", "user.updated", "user.disabled")
    source = "/services/auth"

    user_id: UUID
    status: Literal["active", "disabled"]
    plan: str
    scopes: list[str]
    changed: list[str]
    at: Timestamp


class UserErased(EventData):
    """A user is to be erased: every service deletes the user's data and confirms."""

    names = ("user.erased",)
    source = "/services/auth"

    user_id: UUID
    erasure_id: str
    at: Timestamp


class UserErasureConfirmed(EventData):
    """One service has deleted the data of an erased user."""

    names = ("user.erasure_confirmed",)

    user_id: UUID
    erasure_id: str
    service: str
    at: Timestamp


class SessionRevoked(EventData):
    """A session was revoked: its tokens issued up to ``not_before`` are invalid."""

    names = ("session.revoked",)
    source = "/services/auth"

    user_id: UUID
    session_id: UUID
    reason: RevocationReason
    not_before: Timestamp
    at: Timestamp


class ApiKeyRevoked(EventData):
    """An API key was deleted."""

    names = ("apikey.revoked",)
    source = "/services/auth"

    user_id: UUID
    api_key_id: UUID
    at: Timestamp
