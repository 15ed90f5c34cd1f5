"""Reader of provider responses, with a scripted transport."""

import asyncio
import contextvars
import errno
import json
from collections.abc import Sequence
from typing import Any

import aiohttp
import pytest

from chat.generation import AnswerChunk
from chat.model import LogEntry
from chat.providers.parsing.chunks import ChunkParser
from chat.providers.parsing.response_reader import ResponseReader
from chat.providers.parsing.sse_parser import MAX_EVENT
from chat_testing.parsed_answers import chunk, delta
from chat_testing.response_reads import FedResponse, failed, read, sse, whole

STOP = chunk({}, "stop")
RESET = aiohttp.ClientOSError(104, "reset")
LOST = OSError(errno.ETIMEDOUT, "lost")
"""A TimeoutError that is no silence of the provider, but the loss of its host."""


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
async def test_an_answer_is_read_byte_by_byte(line_end: str, bom: str) -> None:
    stream = bom.encode() + sse(delta(content="Grüße "), delta(content="你好"), STOP, "[DONE]", line_end=line_end)
    answer = await whole(*(stream[at : at + 1] for at in range(len(stream))))
    assert (answer.text, answer.finish_reason) == ("Grüße 你好", "stop")


async def test_events_without_a_blank_line_between_them_are_all_read() -> None:
    answer = await whole(sse(delta(content="a"), delta(content="b"), STOP).replace(b"\n\n", b"\n"))
    assert (answer.text, answer.finish_reason) == ("ab", "stop")


async def test_named_events_of_others_are_ignored() -> None:
    other = b"event: keepalive\n" + sse(delta(content="X")) + b"event: ping\ndata: ping\n\n"
    ours = b"event: message\n" + sse(delta(content="b"))
    assert (await whole(sse(delta(content="a")) + other + ours + sse(STOP))).text == "ab"


async def test_a_stream_needs_neither_done_nor_a_last_blank_line() -> None:
    assert (await whole(sse(delta(content="a"), STOP).rstrip())).text == "a"
    assert (await whole(sse(delta(content="a"), " [DONE] "))).finish_reason == "stop"


async def test_what_follows_done_is_not_read() -> None:
    assert (
        await whole(sse(delta(content="a"), STOP, "[DONE]", delta(content="X"), {"error": {"code": 1}}))
    ).text == "a"


USAGE = {"prompt_tokens": 3, "completion_tokens": 2}
COMPLETION = {
    "object": "chat.completion",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "é"}, "finish_reason": "length"}],
    "usage": USAGE,
}


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(COMPLETION).encode(),
        ("\ufeff \r\n" + json.dumps(COMPLETION, indent=2, ensure_ascii=False)).encode(),
        json.dumps([COMPLETION]).encode(),
        sse(COMPLETION),
        sse(COMPLETION, "[DONE]"),
    ],
)
async def test_a_whole_completion_instead_of_a_stream_is_an_answer(body: bytes) -> None:
    for reads in ([body], [body[at : at + 5] for at in range(0, len(body), 5)]):
        answer = await whole(*reads)
        assert (answer.text, answer.finish_reason) == ("é", "length")
        assert answer.usage is not None
        assert answer.usage.total_tokens == 5


async def test_chunks_as_lines_or_as_an_array_are_an_answer() -> None:
    chunks = [delta(content="a"), delta(content="b")]
    assert (await whole("\n".join(map(json.dumps, chunks)).encode())).text == "ab"
    assert (await whole(json.dumps(chunks).encode())).text == "ab"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"error":{"code":429}}', "provider_rate_limited"),
        (b'{"detail":"Not Found"}', "provider_error"),
        (b"<html>busy</html>", "provider_error"),
        (b"", "provider_error"),
        (b"{", "provider_error"),
        (json.dumps(COMPLETION).encode()[:-30], "provider_error"),
        (b'{"choices":[{"message":{"content":"' + b"x" * MAX_EVENT + b'"}}]}', "provider_error"),
        (b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error"}}\n\n', "provider_unavailable"),
        (b"event: error\ndata: rate limit exceeded\n\n", "provider_rate_limited"),
        (sse('{"choices":[{"delta":{"content":"', STOP), "provider_error"),
        (sse('{"choices":[{"delta":{"content":"', delta(content="X"), STOP), "provider_error"),
    ],
)
async def test_a_body_without_an_answer_fails_and_may_be_tried_again(body: bytes, code: str) -> None:
    text, found = await failed(body)
    assert (text, found.failure.code, found.retryable) == ("", code, True)


@pytest.mark.parametrize("failure", [None, RESET, aiohttp.ClientPayloadError(), LOST])
@pytest.mark.parametrize(
    "trailer", [b"", b"data: {broken\n\n", sse({"error": {"code": 500}}), b"data: " + b"x" * 2_000_000, b"\xff\xfe\n\n"]
)
async def test_a_bad_trailer_leaves_the_answer_whole(trailer: bytes, failure: Exception | None) -> None:
    answer = await whole(sse(delta(content="a"), STOP) + trailer, failure=failure)
    assert (answer.text, answer.finish_reason) == ("a", "stop")


async def test_usage_after_a_bad_trailer_is_read() -> None:
    answer = await whole(sse(delta(content="a"), STOP, "{broken", {"choices": [], "usage": USAGE}))
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 2


async def test_silence_ends_a_whole_answer_and_breaks_another() -> None:
    answer, found = await read(sse(delta(content="a"), STOP), idle=0.01, silent=True)
    assert (answer.text, answer.finish_reason, found) == ("a", "stop", None)
    answer, found = await read(sse(delta(content="a")), idle=0.01, silent=True)
    assert found is not None
    assert (answer.text, found.failure.code) == ("a", "provider_timeout")


@pytest.mark.parametrize(
    ("failure", "code", "retryable"),
    [(None, "provider_error", True), (RESET, "provider_error", True), (LOST, "provider_error", True)],
)
async def test_an_answer_that_breaks_keeps_what_came_before(
    failure: Exception | None, code: str, retryable: bool
) -> None:
    text, found = await failed(sse(delta(content="a"), delta(content="b")), failure=failure)
    assert (text, found.failure.code, found.retryable) == ("ab", code, retryable)


async def test_an_error_within_the_answer_keeps_its_status_and_the_text() -> None:
    text, found = await failed(sse(delta(content="a"), {"error": {"code": 429}}, delta(content="X")))
    assert (text, found.failure.code) == ("a", "provider_rate_limited")


@pytest.mark.parametrize("garbage", ["{broken", '{"choices":[{"delta":{"content":"', "x" * 2_000_000])
async def test_a_broken_event_costs_that_event_and_the_answer_is_not_called_complete(garbage: str) -> None:
    text, found = await failed(sse(delta(content="a"), garbage, delta(content="b"), STOP, "[DONE]"))
    assert (text, found.failure.code) == ("ab", "provider_error")


async def test_usage_before_the_first_text_does_not_begin_the_answer() -> None:
    answer, found = await read(sse({"choices": [{"delta": {"role": "assistant"}}], "usage": USAGE}), failure=RESET)
    assert (answer.chunks, found is not None) == ([], True)


async def test_the_failure_of_a_sink_ends_the_read_after_what_it_took() -> None:
    taken: list[AnswerChunk] = []

    def sink(chunks: Sequence[AnswerChunk]) -> None:
        taken.extend(chunks)
        if len(taken) > 1:
            raise LookupError

    parts = [sse(delta(content=text)) for text in ("a", "b", "c")]
    response: Any = FedResponse(*parts, failure=None, silent=True)
    reader = ResponseReader(response, ChunkParser(), 60)
    with pytest.raises(LookupError):
        await reader.read(sink)
    assert [found.entry for found in taken] == [LogEntry("a"), LogEntry("b")]
    reader.close()


async def test_a_sink_runs_in_the_context_of_the_reader() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="elsewhere")
    response: Any = FedResponse(sse(delta(content="a")), failure=None, silent=True)
    variable.set("here")
    reader, seen = ResponseReader(response, ChunkParser(), 60), asyncio.get_running_loop().create_future()
    reading = asyncio.ensure_future(reader.read(lambda _: seen.set_result(variable.get())))
    assert await seen == "here"
    reading.cancel()
    reader.close()
