"""Response relaying: complete responses, and streamed responses with backpressure."""

from collections.abc import Iterable

from gateway.http import Header, Send, has_header
from gateway.proxy import compression
from gateway.proxy.response_headers import ResponseHeaders
from gateway.request import Request
from gateway.upstream.connection import UpstreamConnection
from gateway.upstream.failures import UpstreamFailure
from gateway.upstream.response_parser import BODILESS

MAX_SINGLE_WRITE, PIECE_SIZE = 262_144, 65_536
"""Bytes up to which a response is one write, and of each piece of a longer one, which waits for a slow reader."""


class ResponseRelay:
    """Relays the responses of services to their clients."""

    def __init__(self, common: ResponseHeaders, *, idle_timeout: float) -> None:
        """``idle_timeout``: seconds a service may send nothing inside a response."""
        self._common, self._idle_timeout = common, idle_timeout

    async def relay_complete(
        self, request: Request, status: int, headers: list[Header], data: bytes, send: Send
    ) -> None:
        """Send a response that has been received completely, compressed when that is useful."""
        if request.method == "HEAD":
            if compression.should_compress(request, status, headers):
                headers = compression.compressed_headers(headers)  # without the length, which only GET finds out
        elif len(data) >= compression.MIN_SIZE and compression.should_compress(request, status, headers):
            data, headers = compression.compress(data, headers)
        if status not in BODILESS and request.method != "HEAD" and not has_header(headers, b"content-length"):
            headers.append((b"content-length", b"%d" % len(data)))
        request.status, request.bytes_sent = status, len(data)
        await send_response(request, status, self._common.add(request, headers), data, send)

    async def relay_streamed(
        self, request: Request, connection: UpstreamConnection, headers: list[Header], send: Send
    ) -> None:
        """Send a response while it arrives. If it breaks off, close the client's connection."""
        compressor: compression.Compressor | None = None
        if compression.should_compress(request, connection.status, headers):
            compressor, headers = compression.Compressor(), compression.compressed_headers(headers)
        await self._start(request, connection, headers, send)
        try:
            while await self._send_piece(request, connection, compressor, send):
                pass
        except UpstreamFailure:
            if request.cycle is None:
                raise
            request.cycle.abort()  # a partial response must not pass for a complete one

    async def _send_piece(
        self, request: Request, connection: UpstreamConnection, compressor: compression.Compressor | None, send: Send
    ) -> bool:
        """Send what has arrived and return whether more follows. Read only when the client is ready to receive."""
        if request.cycle is not None:
            await request.cycle.wait_writable()
        data = await connection.read_body(idle_timeout=self._idle_timeout)
        more = not connection.complete
        if compressor is not None:
            data = compressor.feed(data) if more else compressor.finish(data)
        request.bytes_sent += len(data)
        if data or not more:
            await send({"type": "http.response.body", "body": data, "more_body": more})
        return more

    async def _start(self, request: Request, connection: UpstreamConnection, headers: list[Header], send: Send) -> None:
        request.status = connection.status
        headers = self._common.add(request, headers)
        await send({"type": "http.response.start", "status": request.status, "headers": headers})


async def send_response(request: Request, status: int, headers: list[Header], body: bytes, send: Send) -> None:
    """Send a complete response, in one write if possible. A body requires the content-length in ``headers``."""
    if request.cycle is not None and len(body) <= MAX_SINGLE_WRITE:
        await request.cycle.respond(status, headers, body)
        return
    await send({"type": "http.response.start", "status": status, "headers": headers})
    for start in range(0, 0 if request.method == "HEAD" else len(body), PIECE_SIZE):
        await send({"type": "http.response.body", "body": body[start : start + PIECE_SIZE], "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def is_json(headers: Iterable[Header]) -> bool:
    """Return whether a response is JSON, such as a problem."""
    return any(name == b"content-type" and b"json" in value for name, value in headers)
