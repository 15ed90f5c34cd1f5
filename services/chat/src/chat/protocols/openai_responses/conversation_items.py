"""Items of a conversation, made of its exchanges."""

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from chat.file_references import FILE, is_file, openai_id, referenced_file
from chat.past_exchanges import PastExchange, PastStep
from chat.protocols.openai_responses.ids import item_id
from chat.protocols.openai_responses.resource import input_item

Item = dict[str, Any]


def items_of(exchange: PastExchange) -> list[Item]:
    """Return the items of an exchange, oldest first. Their IDs are those in the response of the turn."""
    given = [item for message in _given(exchange) for item in _items(message)]
    answer = {"role": "assistant", "content": exchange.answer, "tool_calls": exchange.tool_calls}
    found = [input_item(exchange.turn_id, position, item) for position, item in enumerate(given)]
    found += _output(exchange.turn_id, list(_items(answer)))
    later = [item for step in exchange.after for item in _items(_message(step))]
    return found + [input_item(exchange.turn_id, len(given) + n, item) for n, item in enumerate(later)]


def _given(exchange: PastExchange) -> Sequence[dict[str, Any]]:
    if exchange.input is not None:
        return exchange.input
    own = [] if exchange.continues else [{"role": "user", "content": exchange.user_message}]
    return [*own, *map(_message, exchange.before)]


def _message(step: PastStep) -> dict[str, Any]:
    members = {"tool_calls": step.tool_calls, "tool_call_id": step.tool_call_id}
    return {"role": step.role, "content": step.content, **members}


def _items(message: dict[str, Any]) -> Iterator[Item]:
    content = message.get("content")
    if message["role"] == "tool":
        yield {"type": "function_call_output", "call_id": message.get("tool_call_id") or "", "output": content or ""}
        return
    if content:
        yield {"type": "message", "role": message["role"], "content": _content(content)}
    for call in message.get("tool_calls") or ():
        function = call.get("function")
        if not isinstance(function, dict):  # the calls of an imported answer may be any objects
            function = {}
        arguments = {"name": function.get("name", ""), "arguments": function.get("arguments", "")}
        yield {"type": "function_call", "call_id": call.get("id", ""), **arguments}


def _content(content: str | list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    return content if isinstance(content, str) else [_part(part) for part in content]


def _part(part: dict[str, Any]) -> dict[str, Any]:
    if part["type"] == "text":
        return {"type": "input_text", "text": part["text"]}
    file_id = referenced_file(part)
    if is_file(part):
        return {"type": "input_file", **(part[FILE] if file_id is None else {"file_id": openai_id(file_id)})}
    image = part["image_url"]
    source = {"image_url": image["url"]} if file_id is None else {"image_url": None, "file_id": openai_id(file_id)}
    return {"type": "input_image", **source, "detail": image.get("detail", "auto")}


def _output(turn_id: UUID, items: list[Item]) -> list[Item]:
    """Return the items of an answer with the IDs that they have in the response."""
    counts = {"message": 0, "function_call": 0}
    found = []
    for item in items:
        kind = item["type"]
        shown = input_item(turn_id, 0, item)
        shown["id"] = item_id("msg" if kind == "message" else "fc", turn_id, counts[kind])
        counts[kind] += 1
        found.append(shown)
    return found
