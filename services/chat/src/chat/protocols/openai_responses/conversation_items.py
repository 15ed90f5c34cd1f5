"""Items of a conversation, made of its exchanges."""

import itertools
from collections.abc import Iterator
from typing import Any

from chat.file_references import FILE, is_file, openai_id, referenced_file
from chat.past_exchanges import PastExchange, PastStep, call_places
from chat.protocols.openai_responses.ids import item_id
from chat.protocols.openai_responses.resource import input_item, shown_inputs

Item = dict[str, Any]


def items_of(exchange: PastExchange) -> list[Item]:
    """Return the items of an exchange, oldest first. Their IDs are those in the response of the turn."""
    given = list(exchange.items) if exchange.items is not None else _given_items(exchange)
    answer = {"role": "assistant", "content": exchange.answer, "tool_calls": exchange.tool_calls}
    found = shown_inputs(exchange.turn_id, given)
    found += _output(exchange, list(_items(answer)))
    later = [item for step in exchange.after for item in _items(_message(step))]
    return found + [input_item(exchange.turn_id, len(given) + n, item) for n, item in enumerate(later)]


def _given_items(exchange: PastExchange) -> list[Item]:
    own = [] if exchange.continues else [{"role": "user", "content": exchange.user_message}]
    messages = exchange.input if exchange.input is not None else [*own, *map(_message, exchange.before)]
    return [item for message in messages for item in _items(message)]


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


def _output(exchange: PastExchange, items: list[Item]) -> list[Item]:
    """Return the items of an answer with the IDs that they have in the response."""
    places = {"message": itertools.count(), "function_call": call_places(exchange.deleted_calls)}
    found = []
    for item in items:
        kind = item["type"]
        shown = input_item(exchange.turn_id, 0, item)
        shown["id"] = item_id("msg" if kind == "message" else "fc", exchange.turn_id, next(places[kind]))
        found.append(shown)
    return found
