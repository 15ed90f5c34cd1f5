"""Passing an answer back: whole, in pieces as fast as the client reads, or as a stream of events."""

from collections.abc import Awaitable, Callable
from typing import Any

from gateway.access.streams import Stream, Streams
from gateway.errors import Interrupted
from gateway.proxy import compression, sse
from gateway.proxy.forwarding import as_error
from gateway.proxy.headers import Header, holds
from gateway.request import Request
from gateway.routes import Route
from gateway.upstream.connection import BODILESS, Connection, Failure

Send = Callable[[Any], Awaitable[None]]
Respond = Callable[[Request, list[Header]], list[Header]]

ONE_WRITE, PIECE = 262_144, 65_536
"""Bytes up to which an answer is one write, and of each piece of a longer one, which waits for a slow reader."""


class Answers:
    """Sends what an upstream answers to its client."""

    def __init__(self, streams: Streams, respond: Respond, *, idle_timeout: float) -> None:
        """Take what completes an answer's headers, and the seconds an upstream may be silent inside an answer."""
        self._streams, self._respond, self._idle = streams, respond, idle_timeout

    async def whole(self, request: Request, status: int, headers: list[Header], data: bytes, send: Send) -> None:
        """Send an answer that is here in one piece, compressed when that is worth it."""
        if len(data) >= compression.LEAST and compression.wanted(request, status, headers):
            data, headers = compression.whole(data, headers)
        if status not in BODILESS and request.method != "HEAD" and not holds(headers, b"content-length"):
            headers.append((b"content-length", b"%d" % len(data)))
        request.status, request.sent = status, len(data)
        await send_whole(request, status, self._respond(request, headers), data, send)

    async def pieces(self, request: Request, connection: Connection, headers: list[Header], send: Send) -> None:
        """Send an answer while it comes; one that breaks off ends the connection: nobody may take it for whole."""
        compress: compression.Compressor | None = None
        if compression.wanted(request, connection.status, headers):
            compress, headers = compression.pieces(headers)
        request.status = connection.status
        await send(
            {"type": "http.response.start", "status": request.status, "headers": self._respond(request, headers)}
        )
        try:
            while await self._send_piece(request, connection, compress, send):
                pass
        except Failure:
            if request.exchange is None:
                raise
            request.exchange.abort()  # a cut answer must not look like a whole one

    async def _send_piece(
        self, request: Request, connection: Connection, compress: compression.Compressor | None, send: Send
    ) -> bool:
        """Send what has come; say whether more follows. Nothing is taken from the upstream before it can be sent."""
        if request.exchange is not None:
            await request.exchange.writable()
        data = await connection.read(idle=self._idle)
        more = not connection.complete
        if compress is not None:
            data = compress.feed(data) if more else compress.finish(data)
        request.sent += len(data)
        if data or not more:
            await send({"type": "http.response.body", "body": data, "more_body": more})
        return more

    async def stream(
        self, request: Request, route: Route, connection: Connection, headers: list[Header], send: Send
    ) -> None:
        """Send events while they come; a stream that breaks off, or is ended here, gets a last event that says so."""
        if not any(name == b"x-accel-buffering" for name, _ in headers):
            headers.append((b"x-accel-buffering", b"no"))
        headers = [pair for pair in headers if pair[0] != b"content-length"]
        request.status = connection.status
        await send(
            {"type": "http.response.start", "status": request.status, "headers": self._respond(request, headers)}
        )
        session = request.caller.session if request.caller else None
        cutter, last = sse.EventCutter(), b""
        openai = route.template.startswith("/v1/")
        with self._streams.opened(Stream(session, route.endless, connection.fail)):
            try:
                while await self._send_events(request, connection, cutter, send):
                    pass
                last = cutter.rest()
            except Interrupted as reason:
                last = sse.last_word(reason, openai=openai)
            except Failure as failure:
                last = sse.last_word(as_error(failure), openai=openai)
        request.sent += len(last)
        await send({"type": "http.response.body", "body": last if cutter.clean else b"", "more_body": False})

    async def _send_events(self, request: Request, connection: Connection, cutter: sse.EventCutter, send: Send) -> bool:
        """Send the events that are whole; say whether more may follow."""
        exchange = request.exchange
        if exchange is not None:
            await exchange.writable()
        data = await connection.read(idle=self._idle)
        whole = cutter.feed(data) if data else b""
        request.sent += len(whole)
        if whole and exchange is not None:
            exchange.send_part(whole)
        elif whole:
            await send({"type": "http.response.body", "body": whole, "more_body": True})
        return bool(data)


async def send_whole(request: Request, status: int, headers: list[Header], body: bytes, send: Send) -> None:
    """Send a whole answer: in one write where the server can. With a body goes a content-length."""
    if request.exchange is not None and len(body) <= ONE_WRITE:
        await request.exchange.respond(status, headers, body)
        return
    await send({"type": "http.response.start", "status": status, "headers": headers})
    for start in range(0, 0 if request.method == "HEAD" else len(body), PIECE):
        await send({"type": "http.response.body", "body": body[start : start + PIECE], "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def is_stream(headers: list[Header]) -> bool:
    """Say whether an answer is a stream of events."""
    return any(name == b"content-type" and value.startswith(sse.MEDIA_TYPE) for name, value in headers)
