"""Parser of completion chunks: only the broken part of an answer is lost."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.generation import UNUSABLE_USAGE
from chat.model import LogEntry
from chat.providers.chunks import ChunkParser
from chat.providers.text import TextJoiner, storable
from chat.running.tool_calls import join_calls
from chat_testing.answers import Answer, chunk, delta, parse


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


@pytest.mark.parametrize(
    ("document", "code", "retryable"),
    [
        ({"error": {"code": 429, "message": "secret"}}, "provider_rate_limited", True),
        ({"error": {"code": "429"}}, "provider_rate_limited", True),
        ({"error": {"status": "RESOURCE_EXHAUSTED", "code": None}}, "provider_rate_limited", True),
        ({"error": {"type": "rate_limit_error"}}, "provider_rate_limited", True),
        ({"error": "rate_limit_exceeded"}, "provider_rate_limited", True),
        ({"error": {"code": "insufficient_quota"}}, "provider_unavailable", False),
        ({"type": "error", "error": {"type": "overloaded_error"}}, "provider_unavailable", True),
        ({"object": "error", "code": 503, "message": "x"}, "provider_unavailable", True),
        ({"error": {"type": "timeout"}}, "provider_timeout", True),
        ({"error": {"code": "context_length_exceeded"}}, "context_length_exceeded", False),
        ({"error": {"type": "invalid_request_error"}}, "provider_error", False),
        ({"error": {"message": "secret"}}, "provider_error", True),
        ({"error": True}, "provider_error", True),
        ({"choices": [{"error": {"code": 502}, "finish_reason": "error"}]}, "provider_unavailable", True),
        ({"choices": [{"delta": {}, "finish_reason": "error"}]}, "provider_error", True),
        ({"choices": [{"delta": {}}], "error": {"code": 504}}, "provider_timeout", True),
    ],
)
def test_a_reported_error_keeps_its_status(document: dict[str, Any], code: str, retryable: bool) -> None:
    parser = ChunkParser()
    assert parser.add(document) == []
    assert parser.failure is not None
    assert (parser.failure.failure.code, parser.failure.retryable) == (code, retryable)
    assert "secret" not in str(parser.failure.failure.detail)


@pytest.mark.parametrize("data", [b"429 Too Many Requests", b"{}", b'{"message":"x"}', b"5"])
def test_an_event_named_error_is_an_error(data: bytes) -> None:
    parser = ChunkParser()
    assert parser.parse(data, error=True) == []
    assert parser.failure is not None


@pytest.mark.parametrize("empty", [None, "", {}, [], False])
def test_an_empty_error_is_no_error(empty: object) -> None:
    assert parse({**chunk({"content": "a"}), "error": empty}).text == "a"


def test_an_error_after_the_finish_reason_is_ignored() -> None:
    parser = ChunkParser()
    parser.add(chunk({"content": "a"}, "stop"))
    parser.add({"error": {"code": 500}})
    parser.parse(b"{broken")
    assert (parser.failure, parser.damaged) == (None, False)


COUNTS = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 99}


def test_the_total_is_computed() -> None:
    usage = parse(delta(content="a"), {"choices": [], "usage": COUNTS}).usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (3, 2, 5)
    assert not usage.estimated


@pytest.mark.parametrize("bad", [-2, 1.5, "x", "3", None, [], {}, True, 2**31, 1e300])
@pytest.mark.parametrize("name", ["prompt_tokens", "completion_tokens"])
def test_a_count_that_is_none_makes_the_usage_unusable(name: str, bad: object) -> None:
    assert parse(delta(content="a"), {"choices": [], "usage": {**COUNTS, name: bad}}).usage == UNUSABLE_USAGE


@pytest.mark.parametrize("usage", ["x", 5, [1], {"prompt_tokens": 3}])
def test_usage_without_counts_is_unusable(usage: object) -> None:
    assert parse(delta(content="a"), {"choices": [], "usage": usage}).usage == UNUSABLE_USAGE


@pytest.mark.parametrize("cached", [4, -1, "x", 0.5])
def test_a_wrong_detail_is_left_out_and_marks_the_usage(cached: object) -> None:
    reported = {**COUNTS, "prompt_tokens_details": {"cached_tokens": cached}, "completion_tokens_details": "x"}
    usage = parse(delta(content="a"), {"choices": [], "usage": reported}).usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.cached_tokens, usage.estimated) == (3, 0, True)


def test_the_names_of_other_servers_are_counts() -> None:
    usage = parse(delta(content="a"), {"choices": [], "usage": {"input_tokens": 3, "output_tokens": 2.0}}).usage
    assert usage is not None
    assert usage.total_tokens == 5


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
    answer = Answer(ChunkParser())
    for document in documents:
        answer.add(document)
    answer.finish()
    orjson.dumps([entry.to_json() for entry in answer.entries])
    assert "\x00" not in str(answer.entries)
    assert {call["function"]["name"] == "" for call in join_calls(answer.entries) or []} <= {False}
    assert answer.usage is None or answer.usage.prompt_tokens >= 0
