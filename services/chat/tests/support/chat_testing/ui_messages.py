"""Events of the UI message stream, and deltas of tool calls."""

from typing import Any

import orjson


def parsed_ui_events(data: bytes) -> list[Any]:
    """Return the events of a whole stream."""
    *events, done, rest = data.decode().split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return [orjson.loads(event.removeprefix("data: ")) for event in events]


def call_delta(index: int, arguments: str, *, name: str = "f", **members: Any) -> dict[str, Any]:
    """Return the delta of a tool call."""
    return {"index": index, **members, "function": {"name": name, "arguments": arguments}}
