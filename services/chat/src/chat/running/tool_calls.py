"""Tool calls assembled from their streamed deltas."""

from typing import Any

from chat.model import LogEntry


def join_calls(entries: tuple[LogEntry, ...]) -> list[dict[str, Any]] | None:
    """Return whole tool calls from their deltas, None when there are none."""
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
