"""Parsers of provider streams, provider errors and the circuit breaker."""

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.providers.circuit_breaker import FAILURE_THRESHOLD, OPEN_DURATION, CircuitBreaker
from chat.providers.failures import AttemptFailed, error_of, from_status, retry_after
from chat.providers.parsing.sse_parser import MAX_LINE, ProviderEvent, SseParser


@settings(max_examples=50)
@given(
    st.lists(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\r\n")), max_size=5),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.sampled_from([b"", b"\xef\xbb\xbf"]),
    st.integers(1, 7),
)
def test_events_depend_neither_on_chunk_boundaries_nor_on_line_ends_nor_on_a_bom(
    texts: list[str], line_end: bytes, bom: bytes, size: int
) -> None:
    stream = bom + b"".join(b"data: " + text.encode() + line_end * 2 for text in texts if text)
    parser, found = SseParser(), []
    for start in range(0, len(stream), size):
        found += list(parser.feed(stream[start : start + size]))
    assert found == [ProviderEvent(b"", text.encode()) for text in texts if text]


def test_comments_and_other_fields_are_skipped() -> None:
    found = list(SseParser().feed(b": ping\n\nevent: x\nid: 1\ndata: a\ndata: b\n\ndata: c\n\n"))
    assert found == [ProviderEvent(b"x", b"a\nb"), ProviderEvent(b"", b"c")]


def test_the_last_event_needs_no_blank_line() -> None:
    parser = SseParser()
    assert list(parser.feed(b"data: a\n\ndata: b")) == [ProviderEvent(b"", b"a")]
    assert list(parser.finish()) == [ProviderEvent(b"", b"b")]


def test_a_line_that_is_too_long_is_dropped_and_nothing_else() -> None:
    parser = SseParser()
    found = [*parser.feed(b"data: a\n\ndata: "), *parser.feed(b"x" * (MAX_LINE + 1)), *parser.feed(b"x\n\ndata: b\n\n")]
    assert [event.data for event in found] == [b"a", b"b"]
    assert parser.damaged


def test_an_event_that_is_too_long_is_dropped_and_nothing_else() -> None:
    parser = SseParser()
    found = list(parser.feed(b"data: a\n\n"))
    for _ in range(6):
        found += parser.feed(b"data: " + b"x" * (MAX_LINE - 10) + b"\n")
    found += parser.feed(b"\ndata: b\n\n")
    assert [event.data[:3] for event in found if event.data[:1] != b"x"] == [b"a", b"b"]
    assert parser.damaged


@pytest.mark.parametrize(
    ("status", "body", "code", "retryable"),
    [
        (400, None, "provider_error", False),
        (400, {"error": {"code": "context_length_exceeded"}}, "context_length_exceeded", False),
        (400, {"error": {"message": "maximum context length is 4096 tokens"}}, "context_length_exceeded", False),
        (400, {"object": "error", "message": "Prompt is too long", "code": 400}, "context_length_exceeded", False),
        (413, {"error": "context size exceeded"}, "context_length_exceeded", False),
        (500, {"error": {"message": "no context length"}}, "provider_error", True),
        (400, {"error": {"message": ["context length"]}}, "provider_error", False),
        (400, {"error": {"code": "content_filter", "status": 400, "type": None}}, "content_filter", False),
        (400, {"error": {"code": "content_policy_violation"}}, "content_filter", False),
        (400, {"error": {"type": "data_inspection_failed", "code": "x"}}, "content_filter", False),
        (401, None, "provider_error", False),
        (408, None, "provider_timeout", True),
        (429, None, "provider_rate_limited", True),
        (429, {"error": {"code": "insufficient_quota"}}, "provider_unavailable", False),
        (500, None, "provider_error", True),
        (503, [], "provider_unavailable", True),
        (504, None, "provider_timeout", True),
    ],
)
def test_provider_statuses_map_to_error_codes(status: int, body: object, code: str, retryable: bool) -> None:
    attempt = from_status(status, {}, body)
    assert (attempt.failure.code, attempt.retryable) == (code, retryable)


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum prompt length is 131072 but the request contains 136973 tokens.",
        "The input token count (1594712) exceeds the maximum number of tokens allowed (1048576).",
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens",
        "Input is too long for requested model.",
        "Please reduce the length of the messages or completion.",
        "Range of input length should be [1, 30720]",
        "Invalid request: Your request exceeded model token limit: 8192",
        "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000",
    ],
)
def test_what_servers_say_of_a_prompt_that_is_too_long_is_understood(message: str) -> None:
    for body in ({"error": {"message": message}}, [{"error": {"message": message}}], {"error": message}):
        assert from_status(400, {}, error_of(orjson.dumps(body))).failure.code == "context_length_exceeded"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"<html>", b"5"])
def test_an_error_may_be_anything(body: bytes) -> None:
    assert from_status(400, {}, error_of(body)).failure.code == "provider_error"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7),
        ("1.2", 2),
        ("999999", 3600),
        ("-5", None),
        ("\u00b2", None),
        ("nan", None),
        ("inf", None),
        ("x", None),
        ("", None),
    ],
)
def test_retry_after_is_bounded(value: str, seconds: int | None) -> None:
    assert retry_after({"Retry-After": value}) == seconds


def test_a_breaker_opens_admits_one_trial_call_and_closes() -> None:
    now = [0.0]
    breaker = CircuitBreaker(lambda: now[0])
    for _ in range(FAILURE_THRESHOLD):
        breaker.check()
        breaker.failed()
    assert breaker.is_open
    with pytest.raises(AttemptFailed):
        breaker.check()
    now[0] = OPEN_DURATION + 1
    assert not breaker.is_open
    breaker.check()
    with pytest.raises(AttemptFailed):
        breaker.check()
    breaker.succeeded()
    breaker.check()
