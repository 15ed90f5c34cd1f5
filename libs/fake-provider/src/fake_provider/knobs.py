"""Knobs: the behaviour of one call, and the formats in which a call sets them."""

import re
import shlex
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

MAX_TOKENS = 1_000_000
MAX_WAIT_S = 600.0
# Without "[" in the parameters, a text of many beginnings takes linear time.
MARKER = re.compile(r"\[\[fake\b([^\[\]]*)\]\]")

Milliseconds = Annotated[float, Field(ge=0, le=MAX_WAIT_S * 1000, allow_inf_nan=False)]
Position = Annotated[int, Field(ge=0, le=MAX_TOKENS)]


class InvalidKnobError(Exception):
    """A knob does not exist or has an invalid value."""

    def __init__(self, message: str, knob: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.knob = knob


class Knobs(BaseModel):
    """Behaviour of one call. Times are in milliseconds (`_ms`) or seconds (`_s`); positions are in tokens sent."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    mode: Literal["numbered", "echo"] = Field("numbered", description="`t1 t2 …`, or the last user message")
    text: Annotated[str, Field(max_length=1_000_000)] | None = Field(None, description="this text instead")
    tokens: Annotated[int, Field(ge=0, le=MAX_TOKENS)] = Field(16, description="length of a numbered answer")
    tokens_per_chunk: Annotated[int, Field(ge=1, le=10_000)] = Field(1, description="tokens in one streamed chunk")
    rate: Annotated[float, Field(ge=0, le=MAX_TOKENS, allow_inf_nan=False)] = Field(
        0, description="tokens per second; 0 = no limit"
    )
    latency_ms: Milliseconds = Field(0, description="delay before the headers")
    byte_ms: Milliseconds | None = Field(None, description="send the body byte by byte, with this pause (0 = none)")
    endless: bool = Field(
        default=False, description="ignore the length; end when the client disconnects or after 1,000,000 tokens"
    )
    tool_calls: Annotated[int, Field(ge=0, le=16)] = Field(0, description="return this many tool calls instead of text")
    finish_reason: Annotated[str, Field(pattern=r"^[a-z_]{1,64}$")] | None = Field(
        None, description="replaces stop, length or tool_calls"
    )
    reasoning: Annotated[int, Field(ge=0, le=1000)] = Field(0, description="words of `reasoning_content`, if asked for")
    usage: bool = Field(default=True, description="false: do not report usage")
    cached_tokens: Position = Field(0, description="in `prompt_tokens_details`, at most the prompt tokens")
    reasoning_tokens: Position = Field(0, description="in `completion_tokens_details`, added to the completion")
    done: bool = Field(default=True, description="false: end the stream without `[DONE]`")
    status: Annotated[int, Field(ge=300, le=599)] | None = Field(None, description="return this status with an error")
    retry_after: Annotated[str, Field(pattern=r"^[ -~]{1,64}$")] | None = Field(
        None, description="`Retry-After` of an error"
    )
    location: Annotated[str, Field(pattern=r"^[ -~]{1,2000}$")] | None = Field(
        None, description="`Location` of a redirect"
    )
    error_message: Annotated[str, Field(max_length=10_000)] | None = Field(None, description="text of any error")
    error_code: Annotated[str, Field(max_length=100)] | None = Field(None, description="code of any error")
    leak_key: bool = Field(default=False, description="include the caller's API key in the text of the error")
    hang: bool = Field(default=False, description="send nothing until the client disconnects, at most 600 s")
    stall_after: Position | None = Field(None, description="stop sending after this many tokens")
    stall_s: Annotated[float, Field(ge=0, le=MAX_WAIT_S, allow_inf_nan=False)] | None = Field(
        None, description="duration of the stall; unset = close the connection after 600 s"
    )
    cut_after: Annotated[int, Field(ge=-1, le=MAX_TOKENS)] | None = Field(
        None, description="break the connection after this many tokens; -1 = before the headers"
    )
    cut: Literal["reset", "close"] = Field("reset", description="break it with TCP RST or with a normal close (FIN)")
    garbage_after: Position | None = Field(
        None, description="send an invalid chunk after this many tokens, then continue"
    )
    garbage: Literal["json", "utf8", "long"] = Field(
        "json", description="half a JSON object, half a UTF-8 character, or an 8 MiB line"
    )
    error_after: Position | None = Field(
        None, description='send `data: {"error":…}` after this many tokens, then end without `[DONE]`'
    )

    @field_validator("retry_after", mode="before")
    @classmethod
    def _number_as_text(cls, value: object) -> object:
        return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value

    @field_validator("status")
    @classmethod
    def _status_with_a_body(cls, value: int | None) -> int | None:
        if value == HTTPStatus.NOT_MODIFIED:
            raise ValueError("304 has no body. Use another status from 300 to 599.")
        return value


class TimedKnobs(BaseModel):
    """Knobs for `times` calls, or for all calls when `times` is unset."""

    model_config = ConfigDict(frozen=True)

    changes: dict[str, Any]
    times: Annotated[int, Field(ge=1, le=10_000)] | None = None


def with_changes(base: Knobs, changes: Mapping[str, Any]) -> Knobs:
    """Return `base` with `changes` applied; raise `InvalidKnobError` for the first unknown or invalid knob."""
    if not changes:
        return base
    try:
        return Knobs.model_validate(base.model_dump(exclude_unset=True) | dict(changes))
    except ValidationError as error:
        raise _explain(error) from None


def parse_timed(knobs: Mapping[str, Any]) -> TimedKnobs:
    """Separate `times` from the knobs and validate both."""
    changes = {name: value for name, value in knobs.items() if name != "times"}
    with_changes(Knobs(), changes)
    try:
        return TimedKnobs(changes=changes, times=knobs.get("times"))
    except ValidationError as error:
        raise _explain(error) from None


def from_model_name(model: str) -> dict[str, Any]:
    """Parse the knobs in a model name such as `fake?tokens=50&rate=20`."""
    _, _, query = model.partition("?")
    return {name: _value(text) for name, text in parse_qsl(query, keep_blank_values=True)}


def from_markers(text: str) -> list[TimedKnobs]:
    """Parse every marker such as `[[fake tokens=50 endless]]` in `text`. A word without a value is true."""
    return [parse_timed(_parse_marker(match.group(1))) for match in MARKER.finditer(text)]


def _parse_marker(inside: str) -> dict[str, Any]:
    try:
        words = shlex.split(inside)
    except ValueError as error:
        raise InvalidKnobError(f"the marker [[fake{inside}]] is invalid: {error}") from None
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
