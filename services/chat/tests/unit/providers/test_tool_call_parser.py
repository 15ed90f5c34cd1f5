"""Parser of streamed tool calls: which parts belong to which call, and what a provider leaves out."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.api.openai_responses.item_references import as_input
from chat.model import LogEntry
from chat.protocols.anthropic_messages.content import content_of
from chat.protocols.anthropic_messages.schemas import InputBlock
from chat.protocols.openai_responses.output import folded
from chat.protocols.parley.tools import ToolResultInput
from chat.providers.parsing.tool_call_parser import MAX_CALLS, ToolCallParser
from chat.running.tool_calls import join_calls
from chat.tool_call_limits import MAX_CALL_ID, MAX_CALL_NAME
from chat_testing.parsed_answers import chunk, delta, parse
from parley.ids import new_id

Calls = list[tuple[str, str, str]]


def call(name: Any = None, arguments: Any = None, **members: Any) -> dict[str, Any]:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    return {**members, "function": function}


def calls_of(*lists: Any) -> Calls:
    """Return the ids, names and arguments of the calls in these ``tool_calls`` values, one for each chunk."""
    parser = ToolCallParser()
    deltas = [found for parts in lists for found in parser.add(parts)] + parser.finish()
    joined = join_calls([LogEntry("", tuple(deltas))]) or []
    return [(found["id"], found["function"]["name"], found["function"]["arguments"]) for found in joined]


def without_ids(calls: Calls) -> list[tuple[str, str]]:
    assert all(identifier for identifier, _, _ in calls)
    assert len({identifier for identifier, _, _ in calls}) == len(calls)
    return [(name, arguments) for _, name, arguments in calls]


def test_clients_can_send_back_what_is_left_of_long_ids_and_names() -> None:
    parser, long = ToolCallParser(), {"id": "a" * MAX_CALL_ID}
    deltas = (
        parser.add([call("f" * (MAX_CALL_NAME + 1), "{}", **long), call("g", "{}", id="b" * 99_999)]) + parser.finish()
    )
    first, second = join_calls([LogEntry("", tuple(deltas))]) or []
    assert (first["id"], first["function"]["name"]) == ("a" * MAX_CALL_ID, "f" * MAX_CALL_NAME)
    assert second["id"].startswith("call_")
    for item in folded(new_id(), [LogEntry("", tuple(deltas))]).output(complete=True):
        assert as_input(item).call_id == item["call_id"]
    assert ToolResultInput(tool_call_id=first["id"], content="").tool_call_id == first["id"]
    (block,) = content_of(new_id(), [LogEntry("", tuple(deltas[:1]))])
    assert InputBlock.model_validate(block).id == first["id"]
    assert InputBlock(type="tool_result", tool_use_id=first["id"]).tool_use_id == first["id"]


TWO = [("a", "f", "{}"), ("b", "g", '{"n":1}')]


@pytest.mark.parametrize(
    "lists",
    [
        [[call("f", "{}", id="a", index=0), call("g", '{"n":1}', id="b", index=1)]],
        [[call("f", "{}", id="a"), call("g", '{"n":1}', id="b")]],
        [[call("f", "{}", id="a")], [call("g", '{"n":1}', id="b")]],
        [[call("f", "{}", id="a", index=None)], [call("g", '{"n":1}', id="b", index=None)]],
        [[call("f", "{}", id="a", index=0)], [call("g", '{"n":1}', id="b", index=0)]],
        [[call("f", "{}", id="a", index=0), call("g", '{"n":1}', id="b", index=0)]],
        [[call("f", "{}", id="a", index=0)], [call("g", '{"n"', id="b", index=0)], [call(None, ":1}", index=0)]],
        [[call("f", "{}", id="a", index=1)], [call("g", '{"n":1}', id="b", index=7)]],
        [[call("f", "{}", id="a", index="0")], [call("g", '{"n":1}', id="b", index=1.0)]],
        [[None, call("f", "{}", id="a"), None, 5, "x", [], call("g", '{"n":1}', id="b")]],
        [[call("f", "", id="a", index=0)], [call("g", "", id="b", index=1)], [call(None, '{"n":1}', index=1)]],
        [[call("f", {}, id="a", index=0)], [call("g", {"n": 1}, id="b", index=1)]],
        [[{"id": "a", "name": "f", "arguments": "{}"}, {"id": "b", "name": "g", "arguments": {"n": 1}}]],
    ],
)
def test_two_calls_are_two(lists: list[Any]) -> None:
    expected = [(identifier, name, arguments) for identifier, name, arguments in TWO]
    assert calls_of(*lists) == expected


@pytest.mark.parametrize(
    "lists",
    [
        [[call("f", '{"n":1}'), call("f", '{"n":2}')]],
        [[call("f", '{"n":1}')], [call("f", '{"n":2}')]],
        [[call("f", '{"n":1}', index=0)], [call("f", '{"n":2}', index=0)]],
        [[call("f", '{"n":1}', index=0, id="a")], [call("f", '{"n":2}', index=1, id="a")]],
        [[call("f", {"n": 1})], [call("f", {"n": 2})]],
    ],
)
def test_two_calls_of_a_function_without_or_with_the_same_id_are_two(lists: list[Any]) -> None:
    assert without_ids(calls_of(*lists)) == [("f", '{"n":1}'), ("f", '{"n":2}')]


@pytest.mark.parametrize(
    "lists",
    [
        [[call("f", '{"n"', id="a", index=0)], [call(None, ":1}", index=0)]],
        [[call("f", '{"n"', id="a")], [call(None, ":1}")]],
        [[call("f", '{"n"', id="a")], [call(None, ":1}", id="a")]],
        [[call("f", '{"n"', id="a", index=0)], [call("f", ":1}", id="a", index=0)]],
        [[call("f", '{"n"', id="a", index=0)], [call("f", ":1}", index=0)]],
        [[call("f", None, id="a", index=0)], [call("f", '{"n":1}', id="a", index=0)]],
        [[call("f", '{"n":1}', id="a", index=0)], [call("f", "", id="a", index=0)], [call("f", "", index=0)]],
        [[call("f", '{"n":1}', id="a", index=0)], [call("f", '{"n":1}', id="a", index=0)]],
        [[call("f", "{}", id="a", index=0)], [call(None, '{"n"', index=0)], [call(None, ":1}", index=0)]],
        [[call("f", {}, id="a", index=0)], [call(None, '{"n":1}', index=0)]],
        [[call("f", '{"n":1}{"n":1}', id="a", index=0)]],
        [[call(None, '{"n"', id="a", index=0)], [call("f", ":1}", index=0)]],
        [[call(None, '{"n":1}', index=0)], [call("f", None, id="a", index=0)]],
        [[{"index": 0, "id": "a", "function": None}], [call("f", '{"n":1}', index=0)]],
        [call("f", '{"n":1}', id="a")],
    ],
)
def test_the_parts_of_a_call_are_one_call(lists: list[Any]) -> None:
    assert calls_of(*lists) == [("a", "f", '{"n":1}')]


def test_a_name_in_parts_is_joined_and_a_repeated_one_is_not() -> None:
    parts = [call("get_", index=0, id="a"), call("weather", index=0), call("get_weather", "{}", index=0)]
    assert calls_of(*([part] for part in parts)) == [("a", "get_weather", "{}")]


def test_a_call_without_an_id_gets_one_in_its_first_delta() -> None:
    parser = ToolCallParser()
    (first,) = parser.add([call("f", '{"n":')])
    assert (first["index"], first["type"], first["id"][:5]) == (0, "function", "call_")
    assert parser.add([call(None, "1}", id="late")]) == [{"index": 0, "function": {"arguments": "1}"}}]


@pytest.mark.parametrize("arguments", [None, "", " "])
def test_a_call_without_arguments_has_an_empty_object(arguments: str | None) -> None:
    for reason in ("tool_calls", "stop", "eos"):
        answer = parse(delta(tool_calls=[call("now", arguments, id="a", index=0)]), chunk({}, reason))
        assert (answer.calls[0]["function"]["arguments"], answer.finish_reason) == ("{}", "tool_calls")


@pytest.mark.parametrize("held", [None, "{}"])
def test_arguments_after_a_finish_reason_are_those_of_the_call(held: str | None) -> None:
    begun = chunk({"tool_calls": [call("pay", held, id="a", index=0)]}, "stop")
    answer = parse(begun, chunk({"tool_calls": [call(None, '{"n":1}', index=0)]}, "stop"))
    assert answer.calls[0]["function"]["arguments"] == '{"n":1}'


def test_a_call_that_is_cut_before_its_arguments_has_none() -> None:
    begun = delta(tool_calls=[call("pay", "", id="a", index=0)])
    assert parse(begun, chunk({}, "length")).calls[0]["function"]["arguments"] == ""
    assert parse(begun).calls[0]["function"]["arguments"] == ""


def test_a_call_without_a_name_is_dropped() -> None:
    assert calls_of([call(None, "{}", id="a", index=0), call("g", "{}", id="b", index=1)])[0][:2] == ("b", "g")


def test_arguments_that_are_no_text_are_json() -> None:
    found = calls_of([call("f", {"a": ["é", None, True], "b": 1.5}, id="a")], [call("g", [1], id="b")])
    assert [arguments for _, _, arguments in found] == ['{"a":["é",null,true],"b":1.5}', "[1]"]


@pytest.mark.parametrize("identifier", [None, "", [], {}, True])
def test_an_id_that_is_no_text_is_replaced(identifier: object) -> None:
    ((found, name, _),) = calls_of([call("f", '{"n":1}', id=identifier, index=0)])
    assert (found[:5], name) == ("call_", "f")


def test_the_number_of_calls_is_bounded() -> None:
    assert len(calls_of([call("f", "{}", id=str(n), index=n) for n in range(MAX_CALLS + 50)])) == MAX_CALLS


def test_the_legacy_function_call_is_a_tool_call() -> None:
    answer = parse(
        delta(function_call={"name": "f", "arguments": ""}),
        delta(function_call={"arguments": '{"n":1}'}),
        {"choices": [{"delta": {}, "finish_reason": "function_call"}]},
    )
    assert answer.finish_reason == "tool_calls"
    assert [found["function"] for found in answer.calls] == [{"name": "f", "arguments": '{"n":1}'}]


ARGUMENTS = ["{}", '{"a":1}', '{"a":"}{"}', '{"a":"\\\\"}', '{"b":{"c":["x"]}}', '{"d":"\\"}"}', '{"e":"\\u007b"}']


@settings(max_examples=40)
@given(st.lists(st.sampled_from(ARGUMENTS), min_size=1, max_size=4), st.integers(1, 5), st.data())
def test_calls_survive_any_split_and_any_missing_member(texts: list[str], size: int, data: st.DataObject) -> None:
    """A call may be told from the others by its index or by its id."""
    by_index = data.draw(st.booleans())
    lists = []
    for number, text in enumerate(texts):
        key = {"index": number} if by_index else {"id": f"c{number}"}
        repeats_name = data.draw(st.booleans())
        for at in range(0, len(text), size):
            name = f"f{number}" if at == 0 or repeats_name else None
            lists.append([call(name, text[at : at + size], **key)])
    assert without_ids(calls_of(*lists)) == [(f"f{number}", text) for number, text in enumerate(texts)]
