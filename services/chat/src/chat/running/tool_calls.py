"""Tool calls assembled from their streamed deltas."""

from collections.abc import Sequence
from typing import Any

from chat.model import LogEntry


def join_calls(entries: Sequence[LogEntry]) -> list[dict[str, Any]] | None:
    """Return the complete tool calls of an answer, None without any."""
    calls: dict[int, dict[str, Any]] = {}
    for entry in entries:
        for delta in entry.tool_calls:
            call = calls.setdefault(
                delta["index"], {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
            )
            call["id"] = delta.get("id") or call["id"]
            for name, text in delta["function"].items():
                call["function"][name] += text
    return [calls[index] for index in sorted(calls)] or None
