"""Faults, as a client sees them on a socket."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable

import httpx2
import pytest
from starlette.types import Message

from fake_provider.app import create_app
from fake_provider.journal import CallJournal
from fake_provider.process import FakeProvider

Ask = Callable[..., Awaitable[httpx2.Response]]
OpenCall = Callable[..., Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
ReadRaw = Callable[..., Awaitable[tuple[bytes, OSError | None]]]


def contents(body: bytes) -> str:
    lines = [line.removeprefix(b"data: ") for line in body.split(b"\n") if line.startswith(b'data: {"id"')]
    choices = [choice for line in lines for choice in json.loads(line)["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


async def test_a_reset_follows_exactly_the_tokens_before_it(read_raw: ReadRaw) -> None:
    received, error = await read_raw("[[fake cut_after=3]]")
    assert isinstance(error, ConnectionResetError)
    assert contents(received) == "t1 t2 t3"


async def test_a_plain_close_ends_the_bytes_without_a_reset(read_raw: ReadRaw) -> None:
    received, error = await read_raw("[[fake cut_after=3 cut=close]]")
    assert error is None
    assert contents(received) == "t1 t2 t3"
    assert not received.endswith(b"0\r\n\r\n")


async def test_a_cut_before_the_headers_sends_nothing(read_raw: ReadRaw) -> None:
    received, error = await read_raw("[[fake cut_after=-1]]")
    assert (received, type(error)) == (b"", ConnectionResetError)


async def test_a_cut_completion_is_shorter_than_its_content_length(read_raw: ReadRaw) -> None:
    received, _ = await read_raw("[[fake cut_after=0 cut=close]]", stream=False)
    head, body = received.split(b"\r\n\r\n", 1)
    promised = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length"))
    assert len(body) == promised // 2


@pytest.mark.parametrize(("kind", "error"), [("json", json.JSONDecodeError), ("utf8", UnicodeDecodeError)])
async def test_garbage_is_sent_between_valid_chunks(ask: Ask, kind: str, error: type[ValueError]) -> None:
    response = await ask(f"[[fake tokens=4 garbage_after=2 garbage={kind}]]", stream=True)
    lines = [line for line in response.content.split(b"\n\n") if line]
    assert len(lines) == 1 + 4 + 1 + 1 + 1
    with pytest.raises(error):
        json.loads(lines[3].removeprefix(b"data: ").decode())
    assert json.loads(lines[4].removeprefix(b"data: "))["choices"][0]["delta"] == {"content": " t3"}


async def test_a_long_line_is_eight_mebibytes(ask: Ask) -> None:
    response = await ask("[[fake garbage_after=1 garbage=long]]", stream=True)
    assert max(len(line) for line in response.content.split(b"\n")) == 8 * 1024 * 1024 + len("data: ")


async def test_an_error_status_has_the_configured_header_and_text(ask: Ask) -> None:
    response = await ask("[[fake status=503 retry_after=2 error_message='try later' error_code=busy]]", stream=True)
    assert (response.status_code, response.headers["retry-after"]) == (503, "2")
    assert response.json() == {"error": {"message": "try later", "type": "server_error", "param": None, "code": "busy"}}


async def test_an_error_can_include_the_callers_key(read_raw: ReadRaw) -> None:
    received, _ = await read_raw("[[fake status=401 leak_key]]", key="sk-canary")
    assert b"key=sk-canary" in received


async def test_a_redirect_has_the_configured_location(ask: Ask) -> None:
    response = await ask("[[fake status=307 location=http://169.254.169.254/latest]]")
    assert (response.status_code, response.headers["location"]) == (307, "http://169.254.169.254/latest")


async def test_a_stream_may_end_without_done_and_without_usage(ask: Ask) -> None:
    response = await ask("[[fake done=false usage=false]]", stream=True, stream_options={"include_usage": True})
    assert b"[DONE]" not in response.content
    assert b"usage" not in response.content


async def test_sending_byte_by_byte_splits_characters_without_loss(ask: Ask) -> None:
    response = await ask("[[fake byte_ms=0 text='héllo wörld 🎉']]", stream=True)
    assert contents(response.content) == "héllo wörld 🎉"


async def test_the_rate_limits_the_tokens_per_second(ask: Ask) -> None:
    began = time.monotonic()
    await ask("[[fake tokens=11 rate=50]]", stream=True)
    assert time.monotonic() - began >= 0.19


async def test_the_latency_is_before_the_headers(http_client: httpx2.AsyncClient) -> None:
    body = {"model": "fake?latency_ms=150", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    began = time.monotonic()
    async with http_client.stream("POST", "/v1/chat/completions", json=body):
        assert time.monotonic() - began >= 0.145


async def test_a_stall_with_a_duration_continues_afterwards(ask: Ask) -> None:
    response = await ask("[[fake tokens=4 stall_after=2 stall_s=0.05 rate=1000]]", stream=True)
    assert contents(response.content) == "t1 t2 t3 t4"


@pytest.mark.parametrize(
    "knobs", ["stall_after=2", "hang", "rate=0.01", "latency_ms=600000", "endless", "byte_ms=9000"]
)
@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_disconnect_is_detected_at_once(
    provider: FakeProvider, open_call: OpenCall, knobs: str, stream: bool
) -> None:
    if knobs == "endless" and not stream:
        knobs += " rate=10"
    message = f"leaves {stream} [[fake {knobs}]]"
    reader, writer = await open_call(message, stream=stream)
    while not await provider.journal(contains=message):
        await asyncio.sleep(0)
    if knobs == "endless":
        await reader.readexactly(100_000)
    left_at = time.time()
    writer.transport.abort()
    call = await provider.ended_call(message)
    assert call["ended"] == "client_disconnected"
    assert call["ended_at"] - left_at < 5, "the next byte noticed it"


async def test_a_hang_over_the_limit_ends_as_stalled() -> None:
    journal = CallJournal()
    body = b'{"model":"fake","messages":[{"role":"user","content":"[[fake hang]]"}]}'
    sent = await run_in_process(journal, body)
    assert sent == []
    assert journal.select()[0]["ended"] == "stalled"


async def run_in_process(journal: CallJournal, body: bytes) -> list[Message]:
    parts = iter([{"type": "http.request", "body": body, "more_body": False}])
    sent: list[Message] = []

    async def receive() -> Message:
        part = next(parts, None)
        if part is None:
            await asyncio.Event().wait()
        assert part is not None
        return part

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": []}
    await create_app(journal=journal, longest_wait=0.01)(scope, receive, send)
    return sent
