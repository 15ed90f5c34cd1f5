"""Turns in OpenAI's format: stream chunks, completions, errors and finish reasons."""

from collections.abc import Sequence
from typing import Any

import orjson

from chat.errors import failure
from chat.model import LogEntry, Turn
from parley.web.problems import openai_type

_FINISH_REASONS = {"budget": "length", "deadline": "length", "cancelled": "stop"}
_FAILED_REASONS = frozenset({"interrupted", "error"})


def failed(turn: Turn) -> bool:
    """Return whether the turn ends with an error in OpenAI's format."""
    return turn.finish_reason in _FAILED_REASONS


def error(turn: Turn) -> dict[str, Any]:
    """Return the ``error`` object of a failed or interrupted turn."""
    cause = failure(turn.error.code if turn.error else "upstream_error")
    message = turn.error.message if turn.error else "The answer was interrupted."
    kind = openai_type(cause.status, cause.code)
    return {"error": {"message": message, "type": kind, "param": None, "code": cause.code}}


def pending(turn: Turn) -> dict[str, Any]:
    """Return the ``error`` object of a complete answer that cannot be stored at the moment."""
    message = "The answer is complete but cannot be stored at the moment. Fetch it later by its turn_id."
    found = {"message": message, "type": "api_error", "param": None, "code": "finish_pending", "turn_id": str(turn.id)}
    return {"error": found}


def usage(turn: Turn) -> dict[str, Any] | None:
    """Return the usage in OpenAI's format."""
    if turn.usage is None:
        return None
    return {
        "prompt_tokens": turn.usage.prompt_tokens,
        "completion_tokens": turn.usage.completion_tokens,
        "total_tokens": turn.usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": turn.usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": turn.usage.reasoning_tokens},
    }


def reason(turn: Turn) -> str:
    """Return the finish reason in OpenAI's vocabulary."""
    return _FINISH_REASONS.get(turn.finish_reason or "stop", turn.finish_reason or "stop")


def completion(turn: Turn) -> dict[str, Any]:
    """Return the completion of a finished turn."""
    message: dict[str, Any] = {"role": "assistant", "content": turn.content or None, "refusal": None, "annotations": []}
    if turn.tool_calls:
        message["tool_calls"] = turn.tool_calls
    else:
        message["content"] = turn.content or ""
    reasoning = "".join(entry.reasoning for entry in turn.entries)
    if reasoning:
        message["reasoning_content"] = reasoning
    choice = {"index": 0, "message": message, "logprobs": _logprobs(turn.entries), "finish_reason": reason(turn)}
    return {**_head(turn, "chat.completion"), "choices": [choice], "usage": usage(turn)}


def _logprobs(entries: Sequence[LogEntry]) -> dict[str, Any] | None:
    parts = [entry.logprobs[1:-1] for entry in entries if entry.logprobs]
    return {"content": orjson.Fragment(f"[{','.join(parts)}]"), "refusal": None} if parts else None


class CompletionChunks:
    """Chunks of a streamed completion."""

    def __init__(self, turn: Turn, *, include_usage: bool) -> None:
        self._head = _head(turn, "chat.completion.chunk")
        self._include_usage = include_usage
        # All chunks but the last have the same bytes around their delta.
        self._before, self._after = self._chunk({}, None).split(b'"delta":{}')

    def started(self) -> bytes:
        """Return the first chunk, which has the role."""
        return self._chunk({"role": "assistant", "content": ""}, None)

    def delta(self, entry: LogEntry) -> bytes:
        """Return the chunk of one log entry."""
        text, tool_calls, reasoning, logprobs = entry
        if not (tool_calls or reasoning or logprobs):
            return b'%b"delta":{"content":%b}%b' % (self._before, orjson.dumps(text), self._after)
        delta: dict[str, Any] = {"content": text}
        if tool_calls:
            delta = {"tool_calls": tool_calls}
        elif reasoning:
            delta = {"reasoning_content": reasoning}
        given = b',"logprobs":{"content":%b,"refusal":null}' % logprobs.encode() if logprobs else b""
        return b'%b"delta":%b%b%b' % (self._before, orjson.dumps(delta), given, self._after)

    def finished(self, turn: Turn) -> list[bytes]:
        """Return the final ``data`` values: finish reason, usage if requested and ``[DONE]``, or an error."""
        if failed(turn):
            return [orjson.dumps(error(turn))]
        last = [self._chunk({}, reason(turn))]
        if self._include_usage:
            last.append(orjson.dumps({**self._head, "choices": [], "usage": usage(turn)}))
        return [*last, b"[DONE]"]

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        extra = {"usage": None} if self._include_usage else {}
        return orjson.dumps({**self._head, "choices": [choice], **extra})


def _head(turn: Turn, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{turn.id.hex}",
        "object": kind,
        "created": int(turn.created_at.timestamp()),
        "model": turn.model,
    }
