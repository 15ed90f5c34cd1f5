"""Sender of text frames over a WebSocket."""

import asyncio

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

SEND_TIMEOUT = 30.0
NO_STATUS = 1005


class SocketSender:
    """Sends whole frames, one after the other."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._sending = asyncio.Lock()

    async def send(self, text: str) -> None:
        """Send a frame. Raise TimeoutError if the client reads nothing, WebSocketDisconnect if the socket is closed."""
        async with self._sending:
            if self._socket.application_state is WebSocketState.CONNECTED:
                async with asyncio.timeout(SEND_TIMEOUT):
                    try:
                        await self._socket.send_text(text)
                    except RuntimeError:  # the server has closed the socket, for example after a ping without a pong
                        raise WebSocketDisconnect(NO_STATUS) from None
