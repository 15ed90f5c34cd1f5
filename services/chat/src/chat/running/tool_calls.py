"""Tool calls assembled from their streamed deltas."""

from collections.abc import Sequence
from typing import Any

from chat.model import LogEntry


def join_calls(entries: Sequence[LogEntry]) -> list[dict[str, Any]] | None:
    """Return the complete tool calls of an answer, None without any."""
    ids: dict[int, str] = {}
    texts: dict[int, dict[str, list[str]]] = {}
    for entry in entries:
        for delta in entry.tool_calls:
            index = delta["index"]
            ids[index] = delta.get("id") or ids.get(index, "")
            function = texts.setdefault(index, {"name": [], "arguments": []})
            for name, text in delta["function"].items():
                function[name].append(text)
    return [
        {"id": ids[index], "type": "function", "function": {name: "".join(parts) for name, parts in function.items()}}
        for index, function in sorted(texts.items())
    ] or None
