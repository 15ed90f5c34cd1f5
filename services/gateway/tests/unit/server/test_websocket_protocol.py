"""WebSocket server protocol: headers of handshakes, and the limit on small frames."""

import asyncio
import contextlib
import logging

import orjson
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode

from gateway.server.websocket_protocol import FRAME_BURST, MAX_ANONYMOUS_BYTES
from gateway_testing.websocket_server import HEAD, KEY, frame, serving


async def exchange(port: int, head: bytes, flood: bytes = b"") -> bytes:
    """Send a handshake, then ``flood`` when it is answered. Return all that was received until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(head)
        async with asyncio.timeout(10):
            received = await reader.readuntil(b"\r\n\r\n")
            writer.write(flood)
            with contextlib.suppress(ConnectionError):  # the server may close before it has read everything
                while piece := await reader.read(65_536):
                    received += piece
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return received


async def test_a_handshake_has_the_security_headers() -> None:
    async with serving() as (_, port), connect(f"ws://127.0.0.1:{port}/", proxy=None) as socket:
        assert socket.response is not None
        assert socket.response.headers["strict-transport-security"].startswith("max-age=")
        assert socket.response.headers["x-content-type-options"] == "nosniff"
        assert "sec-websocket-extensions" not in socket.response.headers


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (HEAD + b"\r\n", b"400"),
        (HEAD.replace(b"13", b"8") + KEY + b"\r\n", b"400"),
        (HEAD + KEY + b"X-Long: " + b"a" * 20_000 + b"\r\n\r\n", b"431"),
        (HEAD.replace(b"/ws ", b"/ws" + b"a" * 20_000 + b" ") + KEY + b"\r\n", b"431"),
        (HEAD + KEY + b"Upgrade: websocket\r\n\r\n", b"400"),
    ],
    ids=["no key", "version", "field", "target", "two upgrades"],
)
async def test_a_refused_handshake_has_the_security_headers_and_closes(head: bytes, status: bytes) -> None:
    async with serving() as (_, port):
        answer = await exchange(port, head)
    assert answer.startswith(b"HTTP/1.1 " + status), answer
    assert orjson.loads(answer.partition(b"\r\n\r\n")[2])["status"] == int(status)
    for name in (b"strict-transport-security", b"content-security-policy", b"x-frame-options"):
        assert name in answer.lower()


async def test_ordinary_frames_pass() -> None:
    async with serving() as (app, port), connect(f"ws://127.0.0.1:{port}/", proxy=None) as socket:
        for _ in range(300):
            await socket.send("x")
            assert await socket.recv() == "x"
        await socket.send(["y" * 4096] * 250)
        assert len(await socket.recv()) == 250 * 4096
        assert app.received == 301


@pytest.mark.parametrize(
    "flood",
    [
        frame(Opcode.PING, b"") * 50_000,
        frame(Opcode.TEXT, b"{", fin=False) + frame(Opcode.CONT, b"", fin=False) * 50_000,
        frame(Opcode.TEXT, b"x") * 50_000,
        frame(Opcode.TEXT, b"close") + frame(Opcode.PING, b"") * 50_000,
    ],
    ids=["pings", "fragments", "messages", "after the close"],
)
async def test_a_flood_of_small_frames_closes_the_websocket(flood: bytes) -> None:
    async with serving() as (app, port):
        answer = await exchange(port, HEAD + KEY + b"\r\n", flood)
        assert b" 101 " in answer
        assert app.received <= FRAME_BURST


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(Opcode.TEXT, b"\xff\xfe"), 1007),
        (frame(Opcode.TEXT, b"\xc3", fin=False) + frame(Opcode.CONT, b"x"), 1007),
        (frame(Opcode.TEXT, b"x" * 600_000, fin=False) + frame(Opcode.CONT, b"x" * 600_000), 1009),
        (frame(Opcode.CONT, b"x"), 1002),
        (frame(Opcode.TEXT, b"x", fin=False) + frame(Opcode.TEXT, b"x"), 1002),
        (Frame(Opcode.TEXT, b"x").serialize(mask=False), 1002),
        (frame(Opcode.CLOSE, b"\x03\xed"), 1002),
    ],
    # Frames have a random mask, and every process must give a case the same name.
    ids=["text", "fragmented text", "size", "start", "fragment", "mask", "close"],
)
async def test_frames_that_break_the_protocol_close_without_a_traceback(
    data: bytes, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving() as (_, port):
        answer = await exchange(port, HEAD + KEY + b"\r\n", data)
        await exchange(port, HEAD + KEY + b"\r\n", data + frame(Opcode.CLOSE, b"\x03\xe8"))
    assert answer.partition(b"\r\n\r\n")[2][2:4] == code.to_bytes(2, "big")
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


async def test_text_that_is_split_within_a_character_is_read() -> None:
    async with serving() as (_, port), connect(f"ws://127.0.0.1:{port}/", proxy=None) as socket:
        socket.transport.write(frame(Opcode.TEXT, b"\xc3", fin=False) + frame(Opcode.CONT, b"\xa4"))
        assert await socket.recv() == "\u00e4"


async def test_the_client_learns_why_it_was_closed() -> None:
    async with serving() as (_, port), connect(f"ws://127.0.0.1:{port}/", proxy=None) as socket:
        with contextlib.suppress(ConnectionClosed):
            for _ in range(FRAME_BURST * 20):
                await (await socket.ping())
        assert (socket.close_code, socket.close_reason) == (4429, "rate_limited")


async def test_a_client_sends_little_before_its_caller_is_known() -> None:
    async with serving() as (app, port):
        app.knows_caller = False
        async with connect(f"ws://127.0.0.1:{port}/", proxy=None) as socket:
            await socket.send("x" * 16_000)
            assert await socket.recv() == "x" * 16_000
            with contextlib.suppress(ConnectionClosed):
                await socket.send("x" * (MAX_ANONYMOUS_BYTES + 1))
                await socket.recv()
        assert socket.close_code == 1009
        assert app.received == 1


async def test_the_status_of_a_rejected_handshake_is_that_of_the_error() -> None:
    async with serving() as (_, port):
        with pytest.raises(InvalidStatus) as caught:
            await connect(f"ws://127.0.0.1:{port}/", proxy=None, additional_headers={"X-Long": "a" * 9_000})
        assert caught.value.response.status_code == 431


@pytest.mark.parametrize("fails", [False, True])
async def test_a_refused_handshake_is_a_problem(fails: bool) -> None:
    async with serving() as (app, port):
        app.fails = True
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD + (KEY if fails else b"") + b"\r\n")
        response = (await reader.read()).decode()
        writer.close()
    head, _, body = response.lower().partition("\r\n\r\n")
    assert head.startswith("http/1.1 500" if fails else "http/1.1 400")
    assert "content-type: application/problem+json" in head
    assert "x-request-id: " in head
    assert f'"code":"{"internal_error" if fails else "invalid_request"}"' in body


async def test_a_handshake_that_the_gateway_refuses_is_no_error_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "uvicorn.error")
    async with serving() as (app, port):
        app.refuses = True
        assert (await exchange(port, HEAD + KEY + b"\r\n")).startswith(b"HTTP/1.1 403")
    assert [record.getMessage() for record in caplog.records] == []
