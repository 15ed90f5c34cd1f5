"""The response object of a turn: status, output, usage, and the members of the request that it repeats."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal
from uuid import UUID

from chat.errors import failure
from chat.input_items import DELETED, items_of_turn
from chat.model import LogEntry, Turn
from chat.protocols.openai_responses import ids
from chat.protocols.openai_responses.output import folded

ResponseStatus = Literal["in_progress", "completed", "incomplete", "failed", "cancelled"]
_INCOMPLETE = {
    "length": "max_output_tokens",
    "budget": "max_output_tokens",
    "deadline": "max_output_tokens",
    "content_filter": "content_filter",
}
"""Reasons of incomplete answers by finish reason."""
_ERROR_CODES = {
    "provider_rate_limited": "rate_limit_exceeded",
    "context_length_exceeded": "invalid_prompt",
    "content_filter": "invalid_prompt",
}
"""Error codes of the specification by Parley's; every other one is ``server_error``."""
DEFAULTS: dict[str, Any] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "service_tier": "default",
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "reasoning": {"effort": None, "summary": None},
}
"""Members that a response repeats from its request, for requests without them."""


_NO_ADDRESS = {"image_url": None}
_INPUT_TEXT = {"type": "input_text"}
_OUTPUT_TEXT: dict[str, Any] = {"type": "output_text", "annotations": [], "logprobs": []}
"""Members that the specification requires of parts of messages: an image that is a file, and texts by their role."""


def status_of(turn: Turn) -> ResponseStatus:
    """Return the status of a turn as a response."""
    if turn.status == "running":
        return "in_progress"
    if turn.status in {"completed", "incomplete"}:
        if turn.finish_reason in _INCOMPLETE:
            return "incomplete"
        return "completed" if turn.status == "completed" else "failed"
    return "cancelled" if turn.status == "cancelled" else "failed"


def is_hidden(turn: Turn) -> bool:
    """Tell whether a turn is no response: deleted, not to be stored, or put into its conversation by its user."""
    given = turn.response or {}
    return bool(given.get("deleted")) or given.get("store") is False or not turn.stored or turn.inserted


def response(turn: Turn, entries: Sequence[LogEntry]) -> dict[str, Any]:
    """Return the response object of a turn with these entries."""
    complete = status_of(turn) == "completed"
    output = folded(turn.id, entries).output(complete=complete, running=turn.running) if entries else []
    return with_output(turn, output)


def with_output(turn: Turn, output: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the response object of a turn with these output items."""
    status = status_of(turn)
    given = turn.response or {}
    reason = _INCOMPLETE.get(turn.finish_reason or "") if status == "incomplete" else None
    finished = status == "completed" and turn.finished_at is not None
    return {
        "id": ids.response_id(turn.id),
        "object": "response",
        "created_at": int(turn.created_at.timestamp()),
        "completed_at": int(turn.finished_at.timestamp()) if finished and turn.finished_at else None,
        "status": status,
        "error": error(turn) if status == "failed" else None,
        "incomplete_details": {"reason": reason} if reason else None,
        "model": turn.model,
        "output": output,
        "conversation": {"id": ids.conversation_id(turn.conversation_id)} if turn.conversation_id else None,
        "usage": usage(turn),
        "metadata": turn.metadata,
        **{name: given.get(name, default) for name, default in DEFAULTS.items()},
    }


def error(turn: Turn) -> dict[str, Any]:
    """Return the ``error`` object of a failed or interrupted turn."""
    code = failure(turn.error.code if turn.error else "upstream_error").code
    message = turn.error.message if turn.error else "The answer was interrupted."
    return {"code": _ERROR_CODES.get(code, "server_error"), "message": message}


def usage(turn: Turn) -> dict[str, Any] | None:
    """Return the usage of an ended turn."""
    if turn.usage is None:
        return None
    return {
        "input_tokens": turn.usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": turn.usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": turn.usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": turn.usage.reasoning_tokens},
        "total_tokens": turn.usage.total_tokens,
    }


def input_items(turn: Turn) -> list[dict[str, Any]]:
    """Return the input items of a turn, oldest first."""
    return shown_inputs(turn.id, items_of_turn(turn))


def shown_inputs(turn_id: UUID, items: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the input items of a turn that are not deleted as clients see them."""
    return [input_item(turn_id, place, item) for place, item in enumerate(items) if item["type"] != DELETED]


def input_item(turn_id: UUID, position: int, item: dict[str, Any]) -> dict[str, Any]:
    """Return an item of a turn's input as clients see it."""
    kind = item["type"]
    found = {**item, "id": ids.item_id(ids.PREFIXES[kind], turn_id, f"i{position}")}
    if kind == "message":
        text = _OUTPUT_TEXT if item["role"] == "assistant" else _INPUT_TEXT
        content = item["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        found["content"] = [_shown(part, text) for part in parts]
    if kind != "reasoning":
        found["status"] = "completed"
    return found


def _shown(part: dict[str, Any], text: dict[str, Any]) -> dict[str, Any]:
    """Return a part of a message with the members that the specification requires. ``text``: those of a text."""
    if part["type"] == "input_image":
        return {**_NO_ADDRESS, **part}
    return {**part, **text} if part["type"] == "text" else part
