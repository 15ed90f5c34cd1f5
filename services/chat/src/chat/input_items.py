"""Input items of the Responses API as messages for a provider."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson

from chat.file_references import data_part, file_part, openai_id, parse_openai_id, reference
from chat.model import ToolResult, Turn

Item = dict[str, Any]
Message = dict[str, Any]
TEXT_PARTS = frozenset({"input_text", "output_text", "text", "refusal", "reasoning_text", "summary_text"})
"""Types of parts that are text. The member of a refusal has the name of its type."""
DELETED = "deleted"
"""Type of an item that was deleted. It keeps the place of the item, because places are parts of the items' IDs, and a
role, because the items around it are read by who wrote what."""


def messages_of_input(response: Mapping[str, Any] | None) -> list[Message] | None:
    """Return the messages of a turn's input; None if they are the user message and the tool results."""
    return messages_of_items(response["input"]) if response is not None and "input" in response else None


def messages_of_items(items: Iterable[Item], *, reasoning: bool = False) -> list[Message]:
    """Return the messages of items. Calls join the answer before them. ``reasoning``: keep the model's reasoning."""
    found: list[Message] = []
    thought = ""
    for item in items:
        kind = item["type"]
        if kind == DELETED:
            continue
        if kind == "reasoning":
            thought += text_of(item.get("content") or item.get("summary"))
        elif kind == "function_call":
            answer = _answer(found)
            answer.setdefault("tool_calls", []).append(_call(item))
        elif kind == "function_call_output":
            found.append({"role": "tool", "tool_call_id": item["call_id"], "content": text_of(item["output"])})
        else:
            found.append({"role": item["role"], "content": _content(item["content"])})
        if thought and found and found[-1]["role"] == "assistant":
            if reasoning:
                found[-1]["reasoning_content"] = thought
            thought = ""
    return found


def items_of_turn(turn: Turn) -> list[Item]:
    """Return the input items of a turn, oldest first, also those that were deleted."""
    given: list[Item] | None = (turn.response or {}).get("input")
    if given is not None:
        return given
    own = [] if turn.continues else [{"type": "message", "role": "user", "content": turn.user_message}]
    return [*own, *map(_output_item, turn.tool_results)]


def deleted(item: Item) -> Item:
    """Return what takes the place of an item that is deleted."""
    role = "assistant" if is_answer(item) else "tool" if item["type"] == "function_call_output" else item["role"]
    return {"type": DELETED, "role": role}


def message_with_files(text: str, file_ids: Iterable[UUID]) -> Item:
    """Return a user's message with files as an item."""
    files = [{"type": "input_file", "file_id": openai_id(file_id)} for file_id in file_ids]
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}, *files]}


def files_of_input(response: Mapping[str, Any] | None) -> list[UUID]:
    """Return the files of a turn's input."""
    contents = (item.get("content") for item in (response or {}).get("input", ()))
    parts = (part for content in contents if isinstance(content, list) for part in content)
    given = (part["file_id"] for part in parts if part.get("file_id"))
    return [file_id for name in given if (file_id := parse_openai_id(name)) is not None]


def reference_of(file_id: str) -> str:
    """Return the address of an image in a message for the ID of its file."""
    return reference(_checked(file_id))


def part_of_file(file_id: str) -> dict[str, Any]:
    """Return the part of a message for the ID of a file of any type."""
    return file_part(_checked(file_id))


def text_of(content: str | Sequence[Item] | None) -> str:
    """Return the text of a message or of an output."""
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(_text(part) for part in content)


def unread_length(items: Iterable[Item]) -> int:
    """Return the bytes of what is stored of items and no model reads: reasoning, annotations, log probabilities."""
    return sum(map(_unread, items))


def latest_user_items(items: Iterable[Item]) -> list[Item]:
    """Return the messages of the user after the last answer, or the last ones if there is none, also deleted ones."""
    latest: list[Item] = []
    for item in reversed(list(items)):
        if latest and is_answer(item):
            break
        if item.get("role") == "user":
            latest.append(item)
    return latest[::-1]


def user_text(items: Iterable[Item]) -> str:
    """Return what the user wrote after the last answer, or their last message if there is none."""
    latest = (item for item in latest_user_items(items) if item["type"] != DELETED)
    return "\n\n".join(text_of(item["content"]) for item in latest)


def is_answer(item: Item) -> bool:
    """Tell whether an item is part of a model's answer."""
    return item["type"] in {"function_call", "reasoning"} or item.get("role") == "assistant"


def _unread(item: Item) -> int:
    if item["type"] == "reasoning":
        return len(orjson.dumps(item))
    contents = (item.get(name) for name in ("content", "output"))
    parts = (part for content in contents if isinstance(content, list) for part in content)
    return sum(len(orjson.dumps(_without_text(part))) for part in parts if part["type"] in TEXT_PARTS)


def _without_text(part: Item) -> Item:
    return {name: value for name, value in part.items() if name != _text_member(part)}


def _output_item(result: ToolResult) -> Item:
    return {"type": "function_call_output", "call_id": result.tool_call_id, "output": result.content}


def _answer(found: list[Message]) -> Message:
    if not found or found[-1]["role"] != "assistant":
        found.append({"role": "assistant", "content": None})
    return found[-1]


def _call(item: Item) -> dict[str, Any]:
    function = {"name": item["name"], "arguments": item["arguments"]}
    return {"id": item["call_id"], "type": "function", "function": function}


def _content(content: str | Sequence[Item]) -> str | list[dict[str, Any]]:
    if isinstance(content, str) or all(part["type"] in TEXT_PARTS for part in content):
        return text_of(content)
    return [_part(part) for part in content]


def _part(part: Item) -> dict[str, Any]:
    if part["type"] in TEXT_PARTS:
        return {"type": "text", "text": _text(part)}
    if part["type"] == "input_file":
        if part.get("file_data"):
            return data_part(part.get("filename"), part["file_data"])
        return part_of_file(part["file_id"])
    detail = {"detail": part["detail"]} if part.get("detail") else {}
    url = part["image_url"] if part.get("image_url") else reference_of(part["file_id"])
    return {"type": "image_url", "image_url": {"url": url, **detail}}


def _checked(file_id: str) -> UUID:
    found = parse_openai_id(file_id)
    assert found is not None, "the ID was checked when it came"
    return found


def _text(part: Item) -> str:
    return part.get(_text_member(part)) or ""


def _text_member(part: Item) -> str:
    return "text" if part.get("text") else "refusal"
