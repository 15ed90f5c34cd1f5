"""A WebSocket of the app without a server."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import orjson
from fastapi import FastAPI


class AsgiSocket:
    """The client side of a WebSocket."""

    def __init__(self) -> None:
        self._incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._outgoing: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.receive = self._incoming.get

    def send(self, **frame: Any) -> None:
        """Send a JSON object."""
        self.send_text(orjson.dumps(frame).decode())

    def send_text(self, text: str) -> None:
        """Send a text frame."""
        self._incoming.put_nowait({"type": "websocket.receive", "text": text})

    def send_bytes(self, data: bytes) -> None:
        """Send a binary frame."""
        self._incoming.put_nowait({"type": "websocket.receive", "bytes": data})

    def leave(self) -> None:
        """Close the socket."""
        self._incoming.put_nowait({"type": "websocket.disconnect", "code": 1001})

    async def deliver(self, message: MutableMapping[str, Any]) -> None:
        """Take a message of the app."""
        await self._outgoing.put(dict(message))

    async def next(self) -> Any:
        """Return the next frame as JSON, or the close message."""
        async with asyncio.timeout(10):
            message = await self._outgoing.get()
        return orjson.loads(message["text"]) if message["type"] == "websocket.send" else message


@contextlib.asynccontextmanager
async def open_socket(app: FastAPI, path: str, token: str | None) -> AsyncIterator[AsgiSocket]:
    """Open a WebSocket of the app. At the end the client leaves, and the app has served it to its end."""
    socket = AsgiSocket()
    headers = [(b"authorization", f"Bearer {token}".encode())] if token else []
    scope: dict[str, Any] = {
        "type": "websocket",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
        "subprotocols": [],
        "extensions": {},
    }
    await socket._incoming.put({"type": "websocket.connect"})
    serving = asyncio.create_task(app(scope, socket.receive, socket.deliver))
    try:
        assert (await socket.next())["type"] == "websocket.accept"
        yield socket
    finally:
        socket.leave()
        async with asyncio.timeout(10):
            await serving
