"""Request schemas of OpenAI's API. Members that are not declared here are parameters of the provider."""

from collections.abc import Container, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from chat.file_references import FILE, data_part, file_part, parse_openai_id, reference
from chat.protocols.json_values import Json
from chat.protocols.parley.schemas import Metadata, Temperature
from parley.web.schemas import MAX_MEMBERS, Text
from parley.web.validation import FieldValueError

MAX_MESSAGES = 2000
MAX_TOP_LOGPROBS = 20
"""Most probable tokens at each place of an answer whose log probabilities a request may ask for."""
DECLARED_OPTIONS = (
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "parallel_tool_calls",
    "presence_penalty",
    "reasoning_effort",
    "response_format",
    "seed",
    "stop",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
)
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "function_call": ("none", "auto"),
    "logprobs": (False,),
    "modalities": (["text"],),
    "service_tier": ("auto", "default"),
    "top_logprobs": (0,),
}
"""Values that ask for nothing, of parameters that are not forwarded."""
REASONING = ("reasoning_content", "reasoning")
"""Members of messages with the reasoning of an answer, which some servers take back and others refuse."""
TEXT_PARTS = frozenset({"text", "refusal"})
_FILE_MEMBERS = {"file": "file_id", "image_url": "url"}
"""Members that can have the ID of a file, by the type of the part."""


def is_absent(value: object) -> bool:
    """Tell whether a member was not sent."""
    return value is None


class OpenModel(BaseModel):
    """Base of request parts that keep unknown members, for a check against what the model accepts."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Json] = Field(init=False)
    neutral: ClassVar[Mapping[str, tuple[Any, ...]]] = {}
    """Values that ask for nothing, of undeclared members."""

    @model_validator(mode="before")
    @classmethod
    def _bound_members(cls, data: object) -> object:
        if isinstance(data, dict) and len(data) > MAX_MEMBERS:
            raise FieldValueError("too_long", f"Must have at most {MAX_MEMBERS} members.")
        return data

    @property
    def unknown(self) -> dict[str, Any]:
        """Return the members that are not declared and say something."""
        return {name: value for name, value in (self.model_extra or {}).items() if value not in (None, "", [], {})}

    def others(self) -> dict[str, Any]:
        """Return the undeclared members that ask for something."""
        return {name: value for name, value in self.unknown.items() if value not in self.neutral.get(name, ())}


class ContentPart(OpenModel):
    """A part of a message: text, or content that some models support."""

    type: Text
    text: Text | None = None
    refusal: Text | None = None


class CompletionMessage(OpenModel):
    """One message of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Text | Annotated[list[ContentPart], Field(fail_fast=True)] | None = None
    name: Text | None = None
    tool_calls: Annotated[list[Json], Field(fail_fast=True)] | None = None
    tool_call_id: Text | None = None
    refusal: Text | None = None
    reasoning_content: Text | None = None
    reasoning: Text | None = None

    def text(self) -> str:
        """Return the text parts of the message, joined."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text or part.refusal or "" for part in self.content or ())

    @property
    def parts(self) -> list[ContentPart]:
        """Return the parts, none for content that is a text."""
        return self.content if isinstance(self.content, list) else []

    def for_provider(self, parameters: Container[str] = REASONING) -> dict[str, Any]:
        """Return the message to forward. Parts that are nothing but text are joined.

        The reasoning of an answer, which clients send back as they got it, is left out unless it is one of the
        ``parameters`` of the model.
        """
        hidden = {*(self.model_extra or ()), *(name for name in REASONING if name not in parameters)}
        found = self.model_dump(exclude_none=True, exclude=hidden)
        if all(part.type in TEXT_PARTS and not part.unknown for part in self.parts):
            found["content"] = None if self.content is None else self.text()
        elif isinstance(self.content, list):
            found["content"] = [_with_reference(part) for part in found["content"]]
        return {"role": self.role, "content": None, **found}


def _with_reference(part: dict[str, Any]) -> dict[str, Any]:
    """Return a part with a reference to the file whose ID it has; any other part as it is."""
    kind = part["type"]
    source = part.get(kind)
    if kind not in _FILE_MEMBERS or not isinstance(source, dict):
        return part
    given = source.get(_FILE_MEMBERS[kind])
    file_id = parse_openai_id(given) if isinstance(given, str) else None
    if kind == FILE:
        return file_part(file_id) if file_id is not None else data_part(source.get("filename"), source["file_data"])
    if file_id is None:
        return part
    detail = {"detail": source["detail"]} if source.get("detail") else {}
    return {"type": "image_url", "image_url": {"url": reference(file_id), **detail}}


class StreamOptions(OpenModel):
    """Options of a streamed completion."""

    include_usage: bool = False


SHAPE = "`messages` (an array) is expected; Parley's form is at `/api/v1/chat`."


class CompletionRequest(OpenModel):
    """``POST /v1/chat/completions``."""

    model: Text | None = Field(None, max_length=200)
    messages: list[CompletionMessage] = Field(min_length=1, max_length=MAX_MESSAGES, fail_fast=True)
    stream: bool | None = Field(None, strict=True)
    stream_options: StreamOptions | None = None
    temperature: Temperature | None = Field(None, ge=0, le=2)
    max_tokens: int | None = Field(None, ge=1, le=10_000_000, strict=True)
    max_completion_tokens: int | None = Field(None, ge=1, le=10_000_000, strict=True)
    n: int | None = Field(None, ge=1, strict=True)
    store: bool | None = Field(None, strict=True)
    metadata: Metadata | None = None
    frequency_penalty: Json = None
    logit_bias: Json = None
    # Left out of the digest of a request without them, which is compared with those of the release before.
    logprobs: bool | None = Field(None, strict=True, exclude_if=is_absent)
    parallel_tool_calls: Json = None
    presence_penalty: Json = None
    reasoning_effort: Json = None
    response_format: Json = None
    seed: Json = None
    stop: Json = None
    tool_choice: Json = None
    tools: Json = None
    top_logprobs: int | None = Field(None, ge=0, le=MAX_TOP_LOGPROBS, strict=True, exclude_if=is_absent)
    top_p: Json = None

    @model_validator(mode="before")
    @classmethod
    def _not_parleys_form(cls, data: Any) -> Any:
        if isinstance(data, dict) and "messages" not in data and "message" in data:
            raise FieldValueError("wrong_shape", SHAPE)
        return data

    @field_validator("metadata", mode="before")
    @classmethod
    def _read_create(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("create"), bool):
            return {**value, "create": str(value["create"]).lower()}
        return value

    def options(self) -> dict[str, Any]:
        """Return the parameters to forward to the provider."""
        declared = {name: value for name in DECLARED_OPTIONS if (value := getattr(self, name)) is not None}
        found = declared | self.unknown
        return {name: value for name, value in found.items() if value not in NEUTRAL.get(name, ())}

    @property
    def output_limit(self) -> int | None:
        """Return the requested maximum of output tokens."""
        return self.max_completion_tokens or self.max_tokens
