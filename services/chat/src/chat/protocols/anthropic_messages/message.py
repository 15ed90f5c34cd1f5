"""The message of a turn: content, stop reason, usage, and its error."""

from typing import Any

from chat.errors import failure
from chat.model import EMPTY_USAGE, Turn
from chat.protocols.anthropic_messages.content import content_of
from parley.web.problems import anthropic_error
from parley_events.parts import Usage

PENDING = "The answer is complete but cannot be stored at the moment. Fetch it later by the X-Turn-Id."
INTERRUPTED = "The answer was interrupted."
_STOP_REASONS = {
    "length": "max_tokens",
    "budget": "max_tokens",
    "deadline": "max_tokens",
    "content_filter": "refusal",
}
"""Stop reasons by finish reason. Which stop sequence ended an answer is not known: it is an ``end_turn``."""
NOT_OFFERED: dict[str, Any] = {"stop_sequence": None, "stop_details": None, "container": None}
"""Members of a message and of its end that the format requires and that have no value here."""


def message(turn: Turn) -> dict[str, Any]:
    """Return the message of a finished turn."""
    ended = {"stop_reason": stop_reason(turn), "usage": message_usage(turn.usage or EMPTY_USAGE)}
    return {**started_message(turn), "content": content_of(turn.id, turn.entries), **ended}


def started_message(turn: Turn) -> dict[str, Any]:
    """Return the message before any content. Its usage is an estimate."""
    estimated = Usage(prompt_tokens=turn.prompt_tokens, completion_tokens=0, total_tokens=turn.prompt_tokens)
    return {
        "id": f"msg_{turn.id.hex}",
        "type": "message",
        "role": "assistant",
        "model": turn.model,
        "content": [],
        "stop_reason": None,
        **NOT_OFFERED,
        "usage": message_usage(estimated),
    }


def stop_reason(turn: Turn) -> str:
    """Return why the answer ended."""
    found = _STOP_REASONS.get(turn.finish_reason or "")
    return found or ("tool_use" if turn.tool_calls else "end_turn")


def usage(found: Usage) -> dict[str, Any]:
    """Return the usage of an event. Anthropic's ``input_tokens`` exclude the cached ones."""
    return {
        "input_tokens": max(0, found.prompt_tokens - found.cached_tokens),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": found.cached_tokens,
        "output_tokens": found.completion_tokens,
        "output_tokens_details": {"thinking_tokens": found.reasoning_tokens},
        "server_tool_use": None,
    }


def message_usage(found: Usage) -> dict[str, Any]:
    """Return the usage of a message, which has more members than that of an event."""
    return {**usage(found), "cache_creation": None, "inference_geo": None, "service_tier": "standard"}


def error(turn: Turn) -> dict[str, Any]:
    """Return the error of a failed or interrupted turn."""
    cause = failure(turn.error.code if turn.error else "upstream_error")
    text = turn.error.message if turn.error else INTERRUPTED
    return anthropic_error(cause.status, cause.code, text, turn.request_id)
