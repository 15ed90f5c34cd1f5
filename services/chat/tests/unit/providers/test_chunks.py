"""Parser of completion chunks: only the broken part of an answer is lost."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.model import LogEntry
from chat.providers.parsing.chunks import ChunkParser
from chat.providers.parsing.text_sanitizing import TextJoiner, storable
from chat.running.tool_calls import join_calls
from chat_testing.parsed_answers import ParsedAnswer, chunk, delta, parse


def with_index(index: Any, text: str) -> dict[str, Any]:
    return {"index": index, "delta": {"content": text}}


@pytest.mark.parametrize("data", [b"1", b"[]", b"null", b'"ping"', b"ping", b"", b'{"type":"ping"}', b'{"choices":5}'])
def test_what_is_not_part_of_an_answer_is_ignored(data: bytes) -> None:
    parser = ChunkParser()
    assert (parser.parse(data), parser.damaged, parser.failure) == ([], False, None)


@pytest.mark.parametrize(
    "choice", [1, None, "x", [], {"delta": None}, {"delta": 5}, {"delta": {"content": 5}}, {"delta": {"tool_calls": 5}}]
)
def test_a_broken_choice_is_ignored(choice: object) -> None:
    parser = ChunkParser()
    assert (parser.parse(orjson.dumps({"choices": [choice]})), parser.damaged) == ([], False)


def test_half_an_object_damages_the_answer() -> None:
    parser = ChunkParser()
    assert parser.parse(b'{"choices":[{"delta":{"content":"') == []
    assert parser.damaged


def test_invalid_utf8_costs_one_character() -> None:
    answer = parse(b'{"choices":[{"delta":{"content":"a\xff b"}}]}')
    assert (answer.text, answer.damaged) == ("a\ufffd b", False)


def test_nul_and_lone_surrogates_are_replaced() -> None:
    assert storable("a\x00b\ud800c") == "a\ufffdb\ufffdc"
    assert parse(b'{"choices":[{"delta":{"content":"a\\u0000b\\ud83dc"}}]}').text == "a\ufffdb\ufffdc"


def test_surrogate_halves_of_two_deltas_are_joined() -> None:
    answer = parse(
        b'{"choices":[{"delta":{"content":"a\\ud83d"}}]}',
        b'{"choices":[{"delta":{"content":""}}]}',
        b'{"choices":[{"delta":{"content":"\\ude00b"}}]}',
    )
    assert answer.text == "a\U0001f600b"


def test_half_a_pair_at_the_end_of_the_text_is_replaced() -> None:
    answer = parse(b'{"choices":[{"delta":{"content":"a\\ud83d"},"finish_reason":"stop"}]}')
    assert (answer.texts, answer.finish_reason) == (["a", "\ufffd"], "stop")


def test_surrogate_halves_in_tool_arguments_are_joined() -> None:
    head = b'{"choices":[{"delta":{"tool_calls":[{"index":0,"function":'
    answer = parse(
        head + b'{"name":"f","arguments":"{\\"a\\":\\"\\ud83d"}}]}}]}',
        head + b'{"arguments":"\\ude00\\"}"}}]}}]}',
    )
    assert answer.calls[0]["function"]["arguments"] == '{"a":"\U0001f600"}'


@given(st.text(st.characters() | st.characters(categories=["Cs"])), st.integers(1, 4))
def test_a_text_does_not_depend_on_how_it_is_split(text: str, size: int) -> None:
    joiner = TextJoiner()
    units = text.encode("utf-16-le", "surrogatepass")
    parts = [units[at : at + 2 * size].decode("utf-16-le", "surrogatepass") for at in range(0, len(units), 2 * size)]
    assert "".join([*map(joiner.add, parts), joiner.rest()]) == storable(text)


@pytest.mark.parametrize(
    "content",
    [
        "ab",
        ["a", "b"],
        [{"type": "text", "text": "a"}, None, 5, {"type": "image_url", "image_url": {}}, {"type": "text", "text": "b"}],
        [{"type": "text", "text": {"value": "ab"}}],
        {"type": "text", "text": "ab"},
        [{"type": "refusal", "refusal": "ab"}],
    ],
)
def test_content_as_parts_is_text(content: object) -> None:
    assert parse(delta(content=content)).text == "ab"


def test_a_refusal_is_text() -> None:
    assert parse(delta(content=None, refusal="no")).text == "no"


@pytest.mark.parametrize(
    "members",
    [
        {"reasoning_content": "why"},
        {"reasoning": "why"},
        {"reasoning_content": "why", "reasoning": "why"},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "why"}]}]},
        {"content": [{"type": "thinking", "thinking": "why"}]},
    ],
)
def test_reasoning_is_no_part_of_the_text(members: dict[str, Any]) -> None:
    answer = parse(delta(**members), delta(content="a"), chunk({}, "stop"))
    assert ([entry.reasoning for entry in answer.entries], answer.text) == (["why", ""], "a")


@pytest.mark.parametrize("value", [None, 5, [], {"a": 1}])
def test_reasoning_that_is_no_text_is_ignored(value: object) -> None:
    assert parse(delta(content="a", reasoning=value)).entries == [LogEntry("a")]


def test_other_choices_never_mix_in() -> None:
    answer = parse(
        {"choices": [with_index(1, "X"), with_index(0, "a")]},
        {"choices": [with_index("1", "X"), with_index("0", "b")]},
        {"choices": [with_index(None, "c"), with_index(None, "X")]},
        {"choices": [{"delta": {"content": "d"}}, {"delta": {"content": "X"}}]},
        {"choices": [with_index(2, "X")]},
        {"choices": [with_index(-1, "X")]},
        {"choices": [None, with_index(0, "e")]},
    )
    assert answer.text == "abcde"


def test_the_whole_message_in_the_last_chunk_is_not_repeated() -> None:
    last = {"index": 0, "message": {"role": "assistant", "content": "ab"}, "finish_reason": "stop"}
    assert parse(delta(content="ab"), {"choices": [last]}).text == "ab"
    assert parse(delta(content="ab"), {"choices": [{**last, "delta": {}}]}).text == "ab"


def test_a_whole_message_is_an_answer() -> None:
    message = {"content": "a", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": {"a": "é"}}}]}
    answer = parse({"choices": [{"message": message, "finish_reason": "stop"}]})
    assert (answer.text, answer.finish_reason) == ("a", "tool_calls")
    assert answer.calls[0]["function"] == {"name": "f", "arguments": '{"a":"é"}'}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("stop", "stop"),
        ("eos", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("tool_calls", "stop"),
        ("new_reason", "stop"),
    ],
)
def test_finish_reasons_of_other_servers_are_translated(given: str, reason: str) -> None:
    assert parse(delta(content="a"), chunk({}, given)).finish_reason == reason


@pytest.mark.parametrize("given", [None, "", 0, [], {}, 5])
def test_a_finish_reason_that_is_no_text_is_none(given: object) -> None:
    assert parse(delta(content="a"), chunk({}, given)).finish_reason is None


def test_stop_after_another_reason_does_not_hide_it() -> None:
    assert parse(delta(content="a"), chunk({}, "length"), chunk({}, "stop")).finish_reason == "length"
    assert parse(chunk({"content": "a"}, "stop"), chunk({"content": "b"}, "length")).finish_reason == "length"


def test_calls_that_end_with_stop_end_with_tool_calls() -> None:
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
    assert parse(delta(tool_calls=[call]), chunk({}, "stop")).finish_reason == "tool_calls"


MEMBERS = ["choices", "delta", "message", "content", "tool_calls", "function", "function_call", "name", "arguments"]
MEMBERS += [
    "index",
    "id",
    "text",
    "usage",
    "finish_reason",
    "error",
    "code",
    "type",
    "prompt_tokens",
    "refusal",
    "model",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.sampled_from(["f", "{}"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=60)
@given(st.lists(st.builds(lambda value: {"choices": [{"delta": value}]}, JSON) | JSON, max_size=4))
def test_no_document_breaks_the_parser_or_what_is_stored(documents: list[Any]) -> None:
    answer = ParsedAnswer(ChunkParser())
    for document in documents:
        answer.add(document)
    answer.finish()
    orjson.dumps([entry.to_json() for entry in answer.entries])
    assert "\x00" not in str(answer.entries)
    assert {call["function"]["name"] == "" for call in join_calls(answer.entries) or []} <= {False}
    assert answer.usage is None or answer.usage.prompt_tokens >= 0
