"""Requests on OpenAI's wire: unknown members are accepted and dropped, only known options reach a provider."""

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from chat.protocols.parley.schemas import MAX_METADATA, MetadataKey, MetadataValue
from parley.web.problems import FieldValueError
from parley.web.schemas import Text

MAX_MESSAGES = 2000
MAX_DEPTH = 32
LEAST, MOST = -(2**63), 2**64 - 1
"""Whole numbers beyond these can be written by few who read JSON."""
PASSED_ON = (
    "frequency_penalty",
    "logit_bias",
    "parallel_tool_calls",
    "presence_penalty",
    "reasoning_effort",
    "response_format",
    "seed",
    "stop",
    "tool_choice",
    "tools",
    "top_p",
)
"""Options that go to the provider as they came."""


def _storable(value: Any, depth: int = 0) -> Any:
    """Refuse what Postgres or a provider could not read, however deep it is."""
    if depth > MAX_DEPTH:
        raise FieldValueError("too_deep", "Nested too deeply.")
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, float):
        _check_number(fits=math.isfinite(value))
    elif isinstance(value, int):
        _check_number(fits=LEAST <= value <= MOST)
    elif isinstance(value, dict):
        for key, inner in value.items():
            _storable(key, depth + 1)
            _storable(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _storable(inner, depth + 1)
    return value


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise FieldValueError("invalid_text", "Must be valid Unicode text.") from None
    if "\x00" in text:
        raise FieldValueError("invalid_text", "Must not contain the NUL character.")


def _check_number(*, fits: bool) -> None:
    if not fits:
        raise FieldValueError("out_of_range", "Must be a number of at most 64 bits.")


Json = Annotated[Any, AfterValidator(_storable)]


class LenientModel(BaseModel):
    """A part of a request whose unknown members are dropped."""

    model_config = ConfigDict(extra="ignore")


class ContentPart(BaseModel):
    """A part of a message: text, or something that only some models take."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Json] = Field(init=False)
    type: Text
    text: Text | None = None


class CompletionMessage(LenientModel):
    """One message of the conversation as the client holds it."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Text | list[ContentPart] | None = None
    name: Text | None = None
    tool_calls: list[Json] | None = None
    tool_call_id: Text | None = None

    def text(self) -> str:
        """Return the text of the message; other parts have none."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text or "" for part in self.content or ())

    @property
    def text_only(self) -> bool:
        """Say whether there are no parts but text."""
        return not isinstance(self.content, list) or all(part.type == "text" for part in self.content)


class StreamOptions(LenientModel):
    """What a stream should say beside the answer."""

    include_usage: bool = False


class CompletionRequest(LenientModel):
    """``POST /v1/chat/completions``."""

    model: Text | None = Field(None, max_length=200)
    messages: list[CompletionMessage] = Field(min_length=1, max_length=MAX_MESSAGES)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    max_tokens: int | None = Field(None, ge=1, le=10_000_000)
    max_completion_tokens: int | None = Field(None, ge=1, le=10_000_000)
    n: int | None = Field(None, ge=1)
    store: bool | None = None
    metadata: dict[MetadataKey, MetadataValue] | None = Field(None, max_length=MAX_METADATA)
    frequency_penalty: Json = None
    logit_bias: Json = None
    parallel_tool_calls: Json = None
    presence_penalty: Json = None
    reasoning_effort: Json = None
    response_format: Json = None
    seed: Json = None
    stop: Json = None
    tool_choice: Json = None
    tools: Json = None
    top_p: Json = None

    def options(self) -> dict[str, Any]:
        """Return the options that the provider gets."""
        return {name: value for name in PASSED_ON if (value := getattr(self, name)) is not None}

    @property
    def output_limit(self) -> int | None:
        """Return the most tokens the client wants."""
        return self.max_completion_tokens or self.max_tokens
