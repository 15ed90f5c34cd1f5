"""What one answer does: the knobs, and the three places a single call may set them."""

import re
import shlex
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

MAX_TOKENS = 1_000_000
MAX_WAIT_S = 600.0
MARKER = re.compile(r"\[\[fake\b([^\]]*)\]\]")

Milliseconds = Annotated[float, Field(ge=0, le=MAX_WAIT_S * 1000, allow_inf_nan=False)]
Position = Annotated[int, Field(ge=0, le=MAX_TOKENS)]


class InvalidKnobError(Exception):
    """A knob that does not exist, or has a value that it cannot take."""

    def __init__(self, message: str, knob: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.knob = knob


class Knobs(BaseModel):
    """The behaviour of one call; times in milliseconds (`_ms`) or seconds (`_s`), positions in tokens sent."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    mode: Literal["numbered", "echo"] = Field("numbered", description="`t1 t2 …`, or the last user message again")
    text: Annotated[str, Field(max_length=1_000_000)] | None = Field(None, description="exactly this answer instead")
    tokens: Annotated[int, Field(ge=0, le=MAX_TOKENS)] = Field(16, description="length of a numbered answer")
    tokens_per_chunk: Annotated[int, Field(ge=1, le=10_000)] = Field(1, description="tokens in one streamed chunk")
    rate: Annotated[float, Field(ge=0, le=MAX_TOKENS, allow_inf_nan=False)] = Field(
        0, description="tokens a second; 0 = as fast as possible"
    )
    latency_ms: Milliseconds = Field(0, description="wait before the first byte, headers included")
    byte_ms: Milliseconds | None = Field(None, description="send the body byte by byte with this pause (0 = no pause)")
    endless: bool = Field(default=False, description="ignore the length; ends with the client or 1,000,000 tokens")
    tool_calls: Annotated[int, Field(ge=0, le=16)] = Field(0, description="answer with this many tool calls, no text")
    finish_reason: Annotated[str, Field(pattern=r"^[a-z_]{1,64}$")] | None = Field(
        None, description="instead of stop, length, tool_calls"
    )
    usage: bool = Field(default=True, description="false: never report usage")
    cached_tokens: Position = Field(0, description="in `prompt_tokens_details`, at most the prompt")
    reasoning_tokens: Position = Field(0, description="in `completion_tokens_details`, added to the completion")
    done: bool = Field(default=True, description="false: end the stream cleanly but without `[DONE]`")
    status: Annotated[int, Field(ge=300, le=599)] | None = Field(None, description="answer this status and an error")
    retry_after: Annotated[str, Field(pattern=r"^[ -~]{1,64}$")] | None = Field(
        None, description="`Retry-After` of an error, as written"
    )
    location: Annotated[str, Field(pattern=r"^[ -~]{1,2000}$")] | None = Field(
        None, description="`Location` of a redirect"
    )
    error_message: Annotated[str, Field(max_length=10_000)] | None = Field(None, description="text of any error")
    error_code: Annotated[str, Field(max_length=100)] | None = Field(None, description="code of any error")
    leak_key: bool = Field(default=False, description="put the caller's API key into the error's text")
    hang: bool = Field(default=False, description="no headers until the client leaves or 600 s, then close")
    stall_after: Position | None = Field(None, description="stop sending after k tokens")
    stall_s: Annotated[float, Field(ge=0, le=MAX_WAIT_S, allow_inf_nan=False)] | None = Field(
        None, description="go on after so long; unset = never: close after 600 s"
    )
    cut_after: Annotated[int, Field(ge=-1, le=MAX_TOKENS)] | None = Field(
        None, description="break the connection after k tokens; -1 = before the headers"
    )
    cut: Literal["reset", "close"] = Field("reset", description="break it with TCP RST, or with a plain close")
    garbage_after: Position | None = Field(None, description="send garbage after k tokens, then go on")
    garbage: Literal["json", "utf8", "long"] = Field(
        "json", description="half a JSON object, half a UTF-8 character, or an 8 MiB line"
    )
    error_after: Position | None = Field(
        None, description='`data: {"error":…}` after k tokens, then the end without `[DONE]`'
    )

    @field_validator("retry_after", mode="before")
    @classmethod
    def _number_as_text(cls, value: object) -> object:
        return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value

    @field_validator("status")
    @classmethod
    def _status_with_a_body(cls, value: int | None) -> int | None:
        if value == HTTPStatus.NOT_MODIFIED:
            raise ValueError("304 has no body, so it cannot be an answer")
        return value


class TimedKnobs(BaseModel):
    """Knobs that somebody set for some calls only: `times` of them, all when unset."""

    model_config = ConfigDict(frozen=True)

    changes: dict[str, Any]
    times: Annotated[int, Field(ge=1, le=10_000)] | None = None


def changed(base: Knobs, changes: Mapping[str, Any]) -> Knobs:
    """Return `base` with `changes` applied.

    Raises `InvalidKnobError` naming the first unknown or impossible knob.
    """
    if not changes:
        return base
    try:
        return Knobs.model_validate(base.model_dump(exclude_unset=True) | dict(changes))
    except ValidationError as error:
        raise _explain(error) from None


def timed(knobs: Mapping[str, Any]) -> TimedKnobs:
    """Split `times` from the knobs and check both, so that a mistake is answered where it was made."""
    changes = {name: value for name, value in knobs.items() if name != "times"}
    changed(Knobs(), changes)
    try:
        return TimedKnobs(changes=changes, times=knobs.get("times"))
    except ValidationError as error:
        raise _explain(error) from None


def from_model_name(model: str) -> dict[str, Any]:
    """Read the knobs of a model name such as `fake?tokens=50&rate=20`."""
    _, _, query = model.partition("?")
    return {name: _value(text) for name, text in parse_qsl(query, keep_blank_values=True)}


def from_markers(text: str) -> list[TimedKnobs]:
    """Read every `[[fake tokens=50 endless]]` in `text`, in order; a bare word means true."""
    return [timed(_parse_marker(match.group(1))) for match in MARKER.finditer(text)]


def _parse_marker(inside: str) -> dict[str, Any]:
    try:
        words = shlex.split(inside)
    except ValueError as error:
        raise InvalidKnobError(f"the marker [[fake{inside}]] cannot be read: {error}") from None
    pairs = (word.partition("=") for word in words)
    return {name: _value(text) if equals else True for name, equals, text in pairs}


def _value(text: str) -> str | None:
    return text or None


def _explain(error: ValidationError) -> InvalidKnobError:
    first = error.errors(include_url=False)[0]
    knob = str(first["loc"][0]) if first["loc"] else None
    if first["type"] == "extra_forbidden":
        return InvalidKnobError(f"unknown knob {knob!r}; known are {', '.join(Knobs.model_fields)}", knob)
    return InvalidKnobError(f"knob {knob!r}: {first['msg']}", knob)
