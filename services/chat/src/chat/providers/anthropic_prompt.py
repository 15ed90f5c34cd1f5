"""Messages of a prompt, which have OpenAI's format, as Anthropic's API takes them."""

import re
from collections.abc import Sequence
from typing import Any

import orjson

from chat.providers.call_signatures import plain_id
from chat.providers.parsing.content import text_of

Message = dict[str, Any]
Block = dict[str, Any]
_DATA_URL = re.compile(r"data:([^;,]+);base64,")
_OTHER_CHARACTER = re.compile(r"[^a-zA-Z0-9_-]")
"""Characters that Anthropic's API refuses in the identifier of a call."""


def conversation_of(messages: Sequence[Message]) -> tuple[str, list[Message]]:
    """Return the system prompt, and the other messages with alternating roles; a tool result is said by the user."""
    system: list[str] = []
    found: list[Message] = []
    for message in messages:
        if message["role"] in {"system", "developer"}:
            system.append(text_of(message))
            continue
        role, blocks = ("assistant", _answer(message)) if message["role"] == "assistant" else ("user", _said(message))
        if found and found[-1]["role"] == role:
            found[-1]["content"] += blocks
        elif blocks:
            found.append({"role": role, "content": blocks})
    return "\n\n".join(filter(None, system)), found


def answers_results(messages: Sequence[Message]) -> bool:
    """Tell whether the model goes on after tool results."""
    return bool(messages) and any(block["type"] == "tool_result" for block in messages[-1]["content"])


def _said(message: Message) -> list[Block]:
    if message["role"] == "tool" and message.get("tool_call_id"):
        text = text_of(message)
        result = {"type": "tool_result", "tool_use_id": _identifier(message["tool_call_id"])}
        return [{**result, "content": text} if text else result]
    content = message.get("content")
    if not isinstance(content, list):
        return _text(text_of(message))
    return [block for part in content for block in _part(part)]


def _answer(message: Message) -> list[Block]:
    return [*_text(text_of(message)), *(_call(call) for call in message.get("tool_calls") or ())]


def _text(text: str) -> list[Block]:
    """Return a text as blocks: the API refuses those without text."""
    return [{"type": "text", "text": text}] if text.strip() else []


def _part(part: Block) -> list[Block]:
    image = part.get("image_url")
    if not isinstance(image, dict):
        return _text(text_of({"content": [part]}))
    url = image["url"]
    data = _DATA_URL.match(url)
    if data is None:
        return [{"type": "image", "source": {"type": "url", "url": url}}]
    source = {"type": "base64", "media_type": data.group(1), "data": url[data.end() :]}
    return [{"type": "image", "source": source}]


def _call(call: dict[str, Any]) -> Block:
    function = call["function"]
    return {
        "type": "tool_use",
        "id": _identifier(call["id"]),
        "name": function["name"],
        "input": _input(function.get("arguments") or ""),
    }


def _input(arguments: str) -> dict[str, Any]:
    try:
        found = orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _identifier(call_id: str) -> str:
    return _OTHER_CHARACTER.sub("_", plain_id(call_id))
