"""Parsers of provider streams, provider errors and the circuit breaker."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.model import LogEntry
from chat.providers.chunks import StreamedError, parse_chunk
from chat.providers.circuit_breaker import FAILURE_THRESHOLD, OPEN_DURATION, CircuitBreaker
from chat.providers.failures import AttemptFailed, from_status, retry_after
from chat.providers.sse_parser import MAX_LINE, MalformedStream, SseParser
from chat.providers.text import storable
from chat.running.tool_calls import join_calls


def chunk(**delta: object) -> str:
    return orjson.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}).decode()


@given(
    st.lists(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\r\n")), max_size=5), st.integers(1, 7)
)
def test_events_do_not_depend_on_chunk_boundaries(texts: list[str], size: int) -> None:
    stream = b"".join(b"data: " + text.encode() + b"\r\n\r\n" for text in texts if text)
    parser, found = SseParser(), []
    for start in range(0, len(stream), size):
        found += list(parser.feed(stream[start : start + size]))
    assert found == [text.encode() for text in texts if text]


def test_comments_and_other_fields_are_skipped() -> None:
    assert list(SseParser().feed(b": ping\n\nevent: x\nid: 1\ndata: a\ndata: b\n\n")) == [b"a\nb"]


def test_an_endless_line_is_malformed() -> None:
    with pytest.raises(MalformedStream):
        list(SseParser().feed(b"x" * (MAX_LINE + 1)))


@pytest.mark.parametrize(
    "data", ["{", "[]", "1", b'{"a":"\xff"}', '{"choices":[1]}', '{"choices":[{"delta":{"content":5}}]}']
)
def test_invalid_chunks_are_malformed(data: bytes | str) -> None:
    with pytest.raises(MalformedStream):
        parse_chunk(data)


def test_an_error_within_the_stream_is_raised() -> None:
    with pytest.raises(StreamedError):
        parse_chunk('{"error":{"message":"secret"}}')


def test_nul_and_lone_surrogates_are_replaced() -> None:
    assert storable("a\x00b\ud800c") == "a\ufffdb\ufffdc"
    found = parse_chunk('{"choices":[{"delta":{"content":"a\\u0000b"}}]}')
    assert found[0].entry == LogEntry("a\ufffdb")


def test_tool_calls_are_joined_from_their_deltas() -> None:
    first = parse_chunk(chunk(tool_calls=[{"index": 0, "id": "c", "function": {"name": "f", "arguments": ""}}]))
    second = parse_chunk(chunk(tool_calls=[{"index": 0, "function": {"arguments": '{"a":1}'}}]))
    entries = tuple(piece.entry for piece in (*first, *second) if piece.entry)
    assert join_calls(entries) == [{"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}]


def test_usage_is_bounded_and_complete() -> None:
    found = parse_chunk('{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":-2,"total_tokens":99}}')
    assert found[0].usage is not None
    assert (found[0].usage.prompt_tokens, found[0].usage.completion_tokens, found[0].usage.total_tokens) == (3, 0, 3)


@pytest.mark.parametrize(
    ("status", "body", "code", "retryable"),
    [
        (400, None, "provider_error", False),
        (400, {"error": {"code": "context_length_exceeded"}}, "context_length_exceeded", False),
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


@pytest.mark.parametrize(("value", "seconds"), [("7", 7), ("999999", 3600), ("x", None), ("", None)])
def test_retry_after_is_bounded(value: str, seconds: int | None) -> None:
    assert retry_after({"Retry-After": value}) == seconds


def test_a_breaker_opens_admits_one_trial_call_and_closes() -> None:
    now = [0.0]
    breaker = CircuitBreaker(lambda: now[0])
    for _ in range(FAILURE_THRESHOLD):
        breaker.check()
        breaker.failed()
    with pytest.raises(AttemptFailed):
        breaker.check()
    now[0] = OPEN_DURATION + 1
    breaker.check()
    with pytest.raises(AttemptFailed):
        breaker.check()
    breaker.succeeded()
    breaker.check()
