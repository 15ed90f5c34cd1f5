"""WebSocket server protocol: uvicorn's, with the gateway's headers on the handshake and a limit on small frames."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, cast

from starlette.exceptions import HTTPException
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from gateway.errors import ClientDisconnected
from gateway.http import Header
from gateway.server.refusals import CountRefusal, count_refusal
from gateway.server.uvicorn_internals import Config, ServerState, WebSocketsSansIOProtocol
from parley.errors import InvalidRequest
from parley.ids import new_id
from parley.web import problems

FRAME_BURST, FRAMES_PER_SECOND = 2_000, 200
"""Frames that a client may send at once, and in the long run. Pings and fragments count too, because they never reach
the rate limits of users."""
PIECE_SIZE = 4_096
"""Bytes that are parsed before the frames are counted: at most 700 frames."""
MAX_ANONYMOUS_BYTES = 327_680
"""Bytes that a client may send before its caller is known: a read of the event loop (256 KiB) and the handshake."""
EXTENSION = "parley.websocket_caller_known"
"""Key in the ASGI scope's ``extensions``: a function to call when the caller is known."""
RATE_LIMITED, RATE_LIMITED_REASON = 4429, "rate_limited"
TOO_BIG, TOO_BIG_REASON = 1009, "frame too big"
INVALID_TEXT, INVALID_TEXT_REASON = 1007, "invalid UTF-8"
BAD_REQUEST = 400


class WebSocketConnection(WebSocketsSansIOProtocol):
    """One WebSocket of a client."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        *,
        headers: tuple[Header, ...],
        base_url: str,
        count_refused: CountRefusal,
    ) -> None:
        """Take uvicorn's arguments, the headers of every response to a handshake, and the base URL of problems.

        ``count_refused`` counts invalid handshakes.
        """
        super().__init__(config, server_state, app_state)
        self._count_refused = count_refused
        self.conn = HandshakeProtocol(headers, base_url, self.conn)
        self._frames, self._counted_at = float(FRAME_BURST), self.loop.time()
        self._anonymous_bytes, self._caller_known = 0, False

    def data_received(self, data: bytes) -> None:
        if not self._caller_known:
            self._anonymous_bytes += len(data)
            if self._anonymous_bytes > MAX_ANONYMOUS_BYTES:
                self._close(TOO_BIG, TOO_BIG_REASON)
        for start in range(0, len(data), PIECE_SIZE):
            if self.transport.is_closing():
                return
            super().data_received(data[start : start + PIECE_SIZE])
        if not self.handshake_initiated:
            self._reject_handshake()

    def handle_events(self) -> None:
        """Handle the parsed frames, or close the connection if there are too many."""
        now = self.loop.time()
        self._frames = min(FRAME_BURST, self._frames + (now - self._counted_at) * FRAMES_PER_SECOND)
        self._frames -= len(self.conn.events)
        self._counted_at = now
        if self._frames >= 0:
            super().handle_events()
            return
        self.conn.events_received()
        self._close(RATE_LIMITED, RATE_LIMITED_REASON)

    def send_receive_event_to_app(self) -> None:
        """Pass a complete message to the app, or close the connection if its text is not UTF-8."""
        if self.curr_msg_data_type == "text" and not _is_utf8(self.frames):
            self.frames = []
            self._close(INVALID_TEXT, INVALID_TEXT_REASON)
            return
        super().send_receive_event_to_app()

    async def send(self, message: Any) -> None:
        """Send an ASGI message. Raise ClientDisconnected if the WebSocket is closed, by whichever side."""
        await self.writable.wait()
        if self.close_sent or self.disconnected or self.transport.is_closing():
            raise ClientDisconnected
        try:
            await super().send(message)
        except OSError:  # uvicorn's own ClientDisconnected
            raise ClientDisconnected from None
        if self.initial_response is not None and self.close_sent:
            # uvicorn logs an error for each incomplete handshake. Strangers could fill the log with refused ones.
            self.handshake_complete = True

    def handle_connect(self, event: Request) -> None:
        """Start the app, unless the handshake is invalid."""
        super().handle_connect(event)
        if self.handshake_complete:
            self._count_handshake(",".join(event.headers.get_all("X-Forwarded-For")))
        else:
            cast("dict[str, Any]", self.scope["extensions"])[EXTENSION] = self._set_caller_known

    def _count_handshake(self, forwarded: str = "") -> None:
        """Count an invalid handshake on the client's address, as the pipeline counts the others."""
        peer = self.client[0] if self.client else ""

        async def count() -> None:
            await count_refusal(self._count_refused, peer, forwarded, InvalidRequest())

        task = self.loop.create_task(count())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _set_caller_known(self) -> None:
        self._caller_known = True

    def _close(self, code: int, reason: str) -> None:
        """Close the WebSocket, at once if it is closing already."""
        if self.close_sent or not self.handshake_complete or self.conn.state is not OPEN:
            self.transport.abort()
            return
        self.conn.send_close(code, reason)
        self.handle_parser_exception()

    def _reject_handshake(self) -> None:
        """Respond to a head that only the HTTP parser accepts: websockets allows shorter header lines."""
        if self.conn.handshake_exc is None or not self.conn.writes:
            self.conn.send_response(self.conn.reject(BAD_REQUEST, "The WebSocket handshake is invalid."))
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.transport.close()
        self._count_handshake()


def _is_utf8(pieces: Sequence[bytes]) -> bool:
    try:
        b"".join(pieces).decode()
    except UnicodeDecodeError:
        return False
    return True


class HandshakeProtocol(ServerProtocol):
    """The WebSocket protocol of websockets. It adds headers to every response to a handshake; refusals are problems.

    It has no compression: that would let a client send 1 MiB for the price of 1 KiB, and keep buffers for each socket.
    """

    def __init__(self, headers: tuple[Header, ...], base_url: str, base: ServerProtocol) -> None:
        """Take the maximum message size of ``base``."""
        super().__init__(max_size=base.max_message_size, logger=base.logger)
        self._base_url = base_url
        self._headers = tuple((name.decode(), value.decode()) for name, value in headers)

    def send_response(self, response: Response) -> None:
        """Send the response, with the headers that it does not have yet."""
        if response.status_code >= BAD_REQUEST and "json" not in response.headers.get("content-type", ""):
            response = _to_problem(response, self._base_url)
        for name, value in self._headers:
            response.headers.setdefault(name, value)
        super().send_response(response)


def _to_problem(response: Response, base_url: str) -> Response:
    """Return a problem in place of the plain text of a library."""
    request_id = str(new_id())
    error = problems.from_http(HTTPException(response.status_code))
    body, media_type = problems.error_body(error, instance="", request_id=request_id, base_url=base_url)
    headers = Headers(response.headers.raw_items())
    for name, value in (("Content-Type", media_type), ("Content-Length", str(len(body))), ("X-Request-ID", request_id)):
        headers.pop(name, None)
        headers[name] = value
    return Response(error.status, HTTPStatus(error.status).phrase, headers, body)
