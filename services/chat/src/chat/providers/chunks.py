"""Parser of streamed completion chunks. Its output contains only text that Postgres can store."""

from typing import Any

import orjson

from chat.generation import AnswerChunk
from chat.model import LogEntry
from chat.providers.sse_parser import MalformedStream
from chat.providers.text import storable
from parley_events.models import Usage

FINISH_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter"})
MAX_MODEL_LENGTH = 100
_FINISH_REASON_ALIASES = {"function_call": "tool_calls", "eos": "stop", "end_turn": "stop", "max_tokens": "length"}


class StreamedError(Exception):
    """The provider reported an error within its stream."""


def parse_chunk(data: bytes | str) -> list[AnswerChunk]:
    """Return the answer chunks of one event; raises MalformedStream or StreamedError."""
    try:
        chunk = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise MalformedStream("the event is not JSON") from error
    if not isinstance(chunk, dict):
        raise MalformedStream("the event is not a JSON object")
    if chunk.get("error"):
        raise StreamedError
    try:
        return list(_answer_chunks(chunk))
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise MalformedStream("the event is not a completion chunk") from error


def _answer_chunks(chunk: dict[str, Any]) -> list[AnswerChunk]:
    found = []
    choice = next(iter(chunk.get("choices") or ()), None)
    if choice is not None:
        found += _choice(choice)
    if chunk.get("usage"):
        found.append(AnswerChunk(usage=usage(chunk["usage"]), response_model=_model(chunk)))
    return found


def _model(chunk: dict[str, Any]) -> str | None:
    model = chunk.get("model")
    return storable(model[:MAX_MODEL_LENGTH]) if isinstance(model, str) else None


def _choice(choice: dict[str, Any]) -> list[AnswerChunk]:
    delta = choice.get("delta") or choice.get("message") or {}
    found = []
    if delta.get("content"):
        found.append(AnswerChunk(LogEntry(storable(delta["content"]))))
    if delta.get("tool_calls"):
        found.append(
            AnswerChunk(LogEntry("", tuple(_call(index, call) for index, call in enumerate(delta["tool_calls"]))))
        )
    if choice.get("finish_reason"):
        reason = str(choice["finish_reason"])
        found.append(
            AnswerChunk(
                finish_reason=reason if reason in FINISH_REASONS else _FINISH_REASON_ALIASES.get(reason, "stop")
            )
        )
    return found


def _call(position: int, call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function") or {}
    kept: dict[str, Any] = {"index": int(call.get("index", position))}
    if call.get("id"):
        kept |= {"id": storable(str(call["id"])), "type": "function"}
    kept["function"] = {name: storable(str(function[name])) for name in ("name", "arguments") if function.get(name)}
    return kept


def usage(reported: dict[str, Any]) -> Usage:
    prompt, completion = _count(reported, "prompt_tokens"), _count(reported, "completion_tokens")
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        cached_tokens=min(prompt, _count(reported.get("prompt_tokens_details") or {}, "cached_tokens")),
        reasoning_tokens=_count(reported.get("completion_tokens_details") or {}, "reasoning_tokens"),
    )


def _count(counts: dict[str, Any], name: str) -> int:
    return min(2**31 - 1, max(0, int(counts.get(name) or 0)))
