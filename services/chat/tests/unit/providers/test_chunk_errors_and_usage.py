"""Errors and usage in completion chunks."""

from typing import Any

import pytest

from chat.generation import UNUSABLE_USAGE
from chat.providers.parsing.chunks import ChunkParser
from chat_testing.parsed_answers import chunk, delta, parse


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
        ({"error": {"code": "content_filter", "status": 400}}, "content_filter", False),
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


COUNTS = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


@pytest.mark.parametrize("total", [4, 0, -1, None, "99", 1e300])
def test_the_total_is_computed(total: object) -> None:
    usage = parse(delta(content="a"), {"choices": [], "usage": {**COUNTS, "total_tokens": total}}).usage
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


@pytest.mark.parametrize("details", [{"completion_tokens_details": {"reasoning_tokens": 94}}, {}])
def test_reasoning_that_is_only_in_the_total_is_part_of_the_completion(details: dict[str, Any]) -> None:
    """xAI reports the reasoning beside the completion, Gemini not at all."""
    reported = {"prompt_tokens": 32, "completion_tokens": 9, "total_tokens": 135, **details}
    usage = parse(delta(content="a"), {"choices": [], "usage": reported}).usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (32, 103, 135)
    assert (usage.reasoning_tokens, usage.estimated) == (94, False)


@pytest.mark.parametrize("cached", [20, 40])
def test_cached_tokens_beside_the_prompt_are_not_part_of_the_completion(cached: int) -> None:
    reported = {"prompt_tokens": 30, "completion_tokens": 2, "total_tokens": 32 + cached}
    details = {"prompt_tokens_details": {"cached_tokens": cached}}
    usage = parse(delta(content="a"), {"choices": [], "usage": reported | details}).usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (30, 2)


@pytest.mark.parametrize("name", ["cached_tokens", "prompt_cache_hit_tokens"])
def test_cached_tokens_are_read_without_details(name: str) -> None:
    usage = parse(delta(content="a"), {"choices": [], "usage": {**COUNTS, name: 2}}).usage
    assert usage is not None
    assert (usage.cached_tokens, usage.estimated) == (2, False)


def test_usage_in_the_choice_is_usage() -> None:
    last = {"index": 0, "delta": {}, "finish_reason": "stop", "usage": COUNTS}
    usage = parse(delta(content="a"), {"choices": [last], "model": "kimi"}).usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (3, 2)


def test_usage_in_a_choice_with_text_is_usage() -> None:
    choice = {"index": 0, "delta": {"content": "a"}, "usage": COUNTS}
    assert parse({"choices": [choice]}, {"choices": [choice]}).usage is not None
