"""WebSocket server protocol: uvicorn's, with the gateway's headers on the handshake and a limit on small frames."""

from typing import Any

from websockets.http11 import Response
from websockets.server import ServerProtocol

from gateway.http import Header
from gateway.server.uvicorn_internals import Config, ServerState, WebSocketsSansIOProtocol

FRAME_BURST, FRAMES_PER_SECOND = 2_000, 200
"""Frames that a client may send at once, and in the long run. Pings and fragments count too, because they never reach
the rate limits of users."""
PIECE_SIZE = 4_096
"""Bytes that are parsed before the frames are counted: at most 700 frames."""
RATE_LIMITED, RATE_LIMITED_REASON = 4429, "rate_limited"
BAD_REQUEST = 400


class WebSocketConnection(WebSocketsSansIOProtocol):
    """One WebSocket of a client."""

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], *, headers: tuple[Header, ...]
    ) -> None:
        """Take uvicorn's arguments, and the headers of every response to a handshake."""
        super().__init__(config, server_state, app_state)
        self.conn = HandshakeProtocol(headers, self.conn)
        self._frames, self._counted_at = float(FRAME_BURST), self.loop.time()

    def data_received(self, data: bytes) -> None:
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
        if self.close_sent:
            self.transport.abort()
            return
        self.conn.send_close(RATE_LIMITED, RATE_LIMITED_REASON)
        self.handle_parser_exception()

    def _reject_handshake(self) -> None:
        """Respond to a head that only the HTTP parser accepts: websockets allows shorter header lines."""
        if self.conn.handshake_exc is None or not self.conn.writes:
            self.conn.send_response(self.conn.reject(BAD_REQUEST, "The WebSocket handshake is invalid."))
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.transport.close()


class HandshakeProtocol(ServerProtocol):
    """The WebSocket protocol of websockets. It adds headers to every response to a handshake.

    It has no compression: that would let a client send 1 MiB for the price of 1 KiB, and keep buffers for each socket.
    """

    def __init__(self, headers: tuple[Header, ...], base: ServerProtocol) -> None:
        """Take the maximum message size of ``base``."""
        super().__init__(max_size=base.max_message_size, logger=base.logger)
        self._headers = tuple((name.decode(), value.decode()) for name, value in headers)

    def send_response(self, response: Response) -> None:
        """Send the response, with the headers that it does not have yet."""
        for name, value in self._headers:
            response.headers.setdefault(name, value)
        super().send_response(response)
