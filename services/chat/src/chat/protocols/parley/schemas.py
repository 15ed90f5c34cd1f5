"""Request and response schemas of Parley's chat API."""

import math
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field, Strict, StringConstraints, field_validator, model_validator

from chat.protocols.parley.tools import ToolOptions
from parley.times import Timestamp
from parley.web.schemas import Id, Page, ResponseBody, Text, max_entries, not_blank
from parley.web.validation import FieldValueError
from parley_events.parts import ErrorInfo, Usage

MAX_TEXT = 32_000
MAX_METADATA = 16
MAX_FILES = 10
"""Files of a message."""


CLIENT_ID_VERSIONS = frozenset({4, 7})
INVALID_CLIENT_ID = "Must be a UUID, version 4 or 7."


def _client_id(value: UUID) -> UUID:
    if value.version not in CLIENT_ID_VERSIONS:
        raise FieldValueError("invalid_format", INVALID_CLIENT_ID)
    return value


Message = Annotated[Text, StringConstraints(min_length=1, max_length=MAX_TEXT), AfterValidator(not_blank)]
SystemPrompt = Annotated[Text, StringConstraints(max_length=MAX_TEXT)]
ClientId = Annotated[Id, AfterValidator(_client_id)]


def _as_float(value: object) -> object:
    if type(value) is not int:
        return value
    try:
        return float(value)
    except OverflowError:  # an integer of more than 308 digits
        return math.inf if value > 0 else -math.inf


Temperature = Annotated[float, Strict(), BeforeValidator(_as_float)]
"""A number; strict floats alone would refuse 1."""
MetadataKey = Annotated[Text, StringConstraints(min_length=1, max_length=64)]
MetadataValue = Annotated[Text, StringConstraints(max_length=512)]
Metadata = Annotated[dict[MetadataKey, MetadataValue], Field(max_length=MAX_METADATA), max_entries(MAX_METADATA)]


SHAPE = "`message` (a string) is expected; OpenAI's form is at `/v1`."
_INPUTS = {"message", "regenerate", "tool_results"}
_OTHER_FORMS = ("messages", "prompt", "input", "content", "text", "query")
"""Members under which other APIs expect a message."""


class ChatRequest(ToolOptions):
    """Request for one turn: a new message, results of tool calls, or an answer to regenerate."""

    message: Message | None = None
    regenerate: Id | None = None
    conversation_id: ClientId | None = None
    create: bool = Field(
        False, strict=True, description="Create the conversation under `conversation_id` if it does not exist."
    )
    parent_id: Id | None = Field(
        None,
        description="Answer that this message follows. Null: the newest answer. The conversation's id: "
        "none, so that the message starts a new branch at the root.",
    )
    system_prompt: SystemPrompt | None = Field(
        None,
        description="Instructions for the model, also for later messages of the conversation that have none. "
        "Null: those of the message before. An empty text removes them.",
    )
    model: Annotated[Text, StringConstraints(min_length=1, max_length=200)] | None = None
    temperature: Temperature | None = Field(None, ge=0, le=2)
    max_tokens: int | None = Field(None, ge=1, le=10_000_000, strict=True)
    stream: bool = Field(False, strict=True)
    metadata: Metadata = Field(default_factory=dict)
    # Left out of the digest of a request without files, which is compared with those of the release before.
    files: Annotated[list[Id], Field(max_length=MAX_FILES), max_entries(MAX_FILES)] = Field(
        default_factory=list,
        exclude_if=lambda files: not files,
        description="Files for the message: IDs of `/api/v1/files`. Every model reads the text of PDF and text files; "
        "images need the capability `vision`.",
    )

    @model_validator(mode="before")
    @classmethod
    def _not_another_form(cls, data: Any) -> Any:
        if isinstance(data, dict) and not data.keys() & _INPUTS and data.keys() & set(_OTHER_FORMS):
            raise FieldValueError("wrong_shape", SHAPE)
        return data

    @field_validator("message", mode="before")
    @classmethod
    def _text_message(cls, value: Any) -> Any:
        if value is not None and not isinstance(value, str):
            raise FieldValueError("string_type", SHAPE)
        return value

    @model_validator(mode="after")
    def _one_of(self) -> "ChatRequest":
        given = [name for name in ("message", "tool_results", "regenerate") if getattr(self, name) is not None]
        if not given:
            raise FieldValueError("exactly_one", "`message` (a string) is required, or `tool_results` or `regenerate`.")
        if len(given) > 1:
            raise FieldValueError("exactly_one", "Send one of `message`, `tool_results` and `regenerate`, not several.")
        if self.conversation_id is None and (self.tool_results or self.regenerate or self.parent_id):
            raise FieldValueError("required", "`tool_results`, `regenerate` and `parent_id` require `conversation_id`.")
        if self.files and self.message is None:
            raise FieldValueError(
                "exclusive", "`files` belong to a `message`. An answer generated again keeps its own."
            )
        return self


TurnStatus = Literal["running", "completed", "incomplete", "failed", "cancelled"]


class TurnUserMessage(ResponseBody):
    """What the user wrote."""

    id: UUID
    content: str
    files: list[UUID] = Field(description="The files of the message.")


class TurnResource(ResponseBody):
    """Response of ``GET /chat/turns/{id}``."""

    id: UUID
    conversation_id: UUID | None
    number: int
    status: TurnStatus
    stored: bool
    user_message_id: UUID
    user_message: TurnUserMessage
    message_id: UUID
    message: str | None = Field(
        description="The answer. While the turn runs, the answer up to `last_event_id`; null before the first token."
    )
    tool_calls: list[dict[str, Any]] | None
    model: str
    system_prompt: str | None = Field(
        description="The instructions that the model had, of this turn or an earlier one."
    )
    finish_reason: str | None
    tokens_used: int | None
    usage: Usage | None
    cost_estimate: float | None
    cost: str | None
    cached: bool
    error: ErrorInfo | None
    last_event_id: str
    context: Literal["complete", "trimmed", "partial"]
    context_omitted_turns: int
    metadata: dict[str, str]
    created_at: Timestamp
    started_at: Timestamp
    finished_at: Timestamp | None


class ChatAnswer(ResponseBody):
    """Response of ``POST /chat``."""

    message: str
    message_id: UUID
    user_message_id: UUID
    conversation_id: UUID | None
    turn_id: UUID
    status: Literal["completed", "incomplete", "cancelled"]
    model: str
    tokens_used: int | None
    usage: Usage | None
    cost_estimate: float | None
    cost: str | None
    finish_reason: str | None
    cached: bool
    tool_calls: list[dict[str, Any]] | None
    error: ErrorInfo | None
    context: Literal["complete", "trimmed", "partial"]
    context_omitted_turns: int
    metadata: dict[str, str]
    timestamp: Timestamp


class Pricing(ResponseBody):
    """Prices in US dollars per million tokens."""

    currency: Literal["USD"] = "USD"
    input_per_million: str
    output_per_million: str
    cached_input_per_million: str | None
    version: str


class ModelResource(ResponseBody):
    """One model."""

    id: str
    name: str
    provider: str
    context_window: int
    max_output_tokens: int
    pricing: Pricing | None
    capabilities: list[str]
    available: bool


class ModelPage(Page[ModelResource]):
    """The models, and the default model."""

    default: str | None
