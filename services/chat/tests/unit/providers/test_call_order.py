"""Order of an answer's entries: nothing comes between the parts of a tool call."""

from collections.abc import Iterable
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.model import LogEntry
from chat.protocols.anthropic_messages.content import ContentFold
from chat.protocols.openai_responses.output import OutputFold
from chat.providers.parsing.call_order import MAX_WAITING, CallOrder
from chat_testing.parsed_answers import ParsedAnswer, chunk, delta, parse
from parley.ids import new_id


def begins(index: int, arguments: str = "") -> dict[str, Any]:
    return {"index": index, "id": f"c{index}", "function": {"name": f"f{index}", "arguments": arguments}}


def goes_on(index: int, arguments: str) -> dict[str, Any]:
    return {"index": index, "function": {"arguments": arguments}}


def calls(*parts: dict[str, Any]) -> dict[str, Any]:
    return delta(tool_calls=list(parts))


END = chunk({}, "tool_calls")
IN_TURNS = (
    calls(begins(0, '{"a"'), begins(1, '{"b"')),
    calls(goes_on(0, ":1"), goes_on(1, ":2}")),
    delta(content="Wait."),
    calls(goes_on(0, "}")),
    END,
)


def kinds(entries: Iterable[LogEntry]) -> list[Any]:
    """Return what follows what: the index of a call, or a text."""
    return [call["index"] for one in entries for call in one.tool_calls or ({"index": one.text or one.reasoning},)]


def test_calls_that_come_in_turns_follow_each_other() -> None:
    answer = parse(*IN_TURNS)
    assert kinds(answer.entries) == [0, 0, 0, 1, 1, "Wait."]
    assert [found["function"]["arguments"] for found in answer.calls] == ['{"a":1}', '{"b":2}']


def test_each_block_of_a_message_ends_before_the_next_one_begins() -> None:
    fold, open_block = ContentFold(new_id()), None
    for event in [event for entry in parse(*IN_TURNS).entries for event in fold.add(entry)] + fold.finish():
        if event["type"] == "content_block_start":
            assert open_block is None
            open_block = event["index"]
        assert event["index"] == open_block
        if event["type"] == "content_block_stop":
            open_block = None
    assert open_block is None


def test_each_item_of_a_response_is_done_once_with_whole_arguments() -> None:
    fold = OutputFold(new_id())
    events = [event for entry in parse(*IN_TURNS).entries for event in fold.add(entry)] + fold.finish(complete=True)
    done = [members["item"] for name, members in events if name == "response.output_item.done"]
    assert [orjson.loads(item["arguments"]) for item in done[:2]] == [{"a": 1}, {"b": 2}]
    assert [item["type"] for item in done] == ["function_call", "function_call", "message"]


def test_calls_one_after_the_other_are_sent_as_they_come() -> None:
    answer = ParsedAnswer(parse().parser)
    for step, part in enumerate(["{", '"a"', ":1}"]):
        answer.add(calls(begins(0, part) if step == 0 else goes_on(0, part)))
        assert len(answer.entries) == step + 1
    answer.add(calls(begins(1, '{"b"')))
    answer.add(calls(goes_on(1, ":2}")))
    answer.add(delta(content="Done."))
    assert kinds(answer.entries) == [0, 0, 0, 1, 1, "Done."]


@pytest.mark.parametrize("arguments", ["null", "[1", "x"])
def test_arguments_that_are_no_object_hold_nothing_back(arguments: str) -> None:
    answer = ParsedAnswer(parse().parser)
    answer.add(calls(begins(0, arguments)))
    answer.add(delta(content="a"))
    assert kinds(answer.entries) == [0, "a"]


def test_what_waits_for_a_call_that_breaks_off_is_sent_at_the_end() -> None:
    answer = parse(calls(begins(0, '{"a"')), delta(content="x"), delta(reasoning="y"), calls(begins(1, "{}")), END)
    assert kinds(answer.entries) == [0, "x", "y", 1]


def test_what_waits_is_bounded() -> None:
    order, long = CallOrder(), LogEntry("x" * MAX_WAITING)
    order.add_calls([begins(0, '{"a"')])
    assert order.add(long) == []
    assert order.add(LogEntry("6")) == [long, LogEntry("6")]
    assert order.add(LogEntry("7")) == [LogEntry("7")]
    assert kinds(order.add_calls([goes_on(0, ":"), begins(1, "{"), goes_on(0, "1}")])) == [0, 1, 0]


PARTS = st.lists(st.sampled_from(["{", '"a":', "1", "}", "}{"]), min_size=1, max_size=6)


@settings(max_examples=60)
@given(
    st.lists(st.lists(st.sampled_from(["{", '"a":', "1", "}", "}{"]), min_size=1, max_size=6), max_size=4), st.data()
)
def test_no_order_loses_or_mixes_anything(texts: list[list[str]], data: st.DataObject) -> None:
    order, left, found = CallOrder(), {n: list(parts) for n, parts in enumerate(texts)}, list[LogEntry]()
    while any(left.values()):
        index = data.draw(st.sampled_from([n for n, parts in left.items() if parts]))
        found += order.add_calls([goes_on(index, left[index].pop(0))])
        found += order.add(LogEntry("t"))
    found += order.rest()
    assert sum(entry.text == "t" for entry in found) == sum(map(len, texts))
    joined = dict.fromkeys(range(len(texts)), "")
    for entry in found:
        for call in entry.tool_calls:
            joined[call["index"]] += call["function"]["arguments"]
    assert joined == {n: "".join(parts) for n, parts in enumerate(texts)}
