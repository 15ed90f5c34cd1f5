"""Tool calls assembled from their deltas."""

from chat.model import LogEntry
from chat.running.tool_calls import join_calls


class Once(str):
    """A text that is joined with others, never appended to the text so far, which would copy that each time."""

    __slots__ = ()

    def __radd__(self, other: str) -> str:
        raise AssertionError(other)


def delta(index: int, arguments: str, **members: object) -> dict[str, object]:
    return {"index": index, "function": {"arguments": Once(arguments)}, **members}


def test_the_deltas_of_a_call_are_joined_at_once() -> None:
    first, second = delta(0, '{"a"', id="c1", type="function"), delta(1, "{}", id="c2")
    entries = [LogEntry("", (first, second)), LogEntry("Hm"), LogEntry("", (delta(0, ": 1}"),))]
    assert join_calls(entries) == [
        {"id": "c1", "type": "function", "function": {"name": "", "arguments": '{"a": 1}'}},
        {"id": "c2", "type": "function", "function": {"name": "", "arguments": "{}"}},
    ]
    assert join_calls([LogEntry("Hi")]) is None
