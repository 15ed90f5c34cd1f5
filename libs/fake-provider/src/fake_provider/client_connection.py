"""Connection of one call: writes the response, and ends it as a network failure does."""

import asyncio
import socket
import struct
import time

from starlette.types import Scope, Send

from fake_provider.journal import JournalEntry
from fake_provider.knobs import Knobs

TRANSPORT = "fake_provider.transport"
FLUSH_TIMEOUT = 1.0
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
Headers = list[tuple[bytes, bytes]]


class ClientConnection:
    """Writer of one response. Without a transport from the server, a cut only ends the response early."""

    def __init__(self, scope: Scope, send: Send, entry: JournalEntry) -> None:
        self._transport: asyncio.Transport | None = (scope.get("extensions") or {}).get(TRANSPORT)
        self._send = send
        self._entry = entry
        self._byte_pause: float | None = None
        self.broken = False

    def apply_byte_pause(self, knobs: Knobs) -> None:
        self._byte_pause = None if knobs.byte_ms is None else knobs.byte_ms / 1000

    async def start(self, status: int, headers: Headers) -> None:
        self._entry.first_byte_at = time.time()
        identity = (b"x-request-id", b"req_fake_%d" % self._entry.seq)
        await self._send({"type": "http.response.start", "status": status, "headers": [identity, *headers]})

    async def write(self, data: bytes, *, more: bool = True) -> None:
        if self._byte_pause is not None:
            await self._write_bytes(data, self._byte_pause)
            data = b""
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    async def respond(self, status: int, body: bytes, headers: Headers | None = None) -> None:
        """Send a whole JSON response."""
        await self.start(status, [*_json_headers(len(body)), *(headers or [])])
        await self.write(body, more=False)

    async def respond_half(self, status: int, body: bytes) -> None:
        """Send the headers of a whole JSON response and half of its body."""
        await self.start(status, _json_headers(len(body)))
        await self.write(body[: len(body) // 2])

    async def reset(self) -> None:
        """Flush the written data, then end the connection with TCP RST."""
        await self._flush()
        if self._transport is not None:
            endpoint = self._transport.get_extra_info("socket")
            endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            self._transport.abort()

    async def close(self) -> None:
        """Flush the written data, then close the connection with TCP FIN before the response is complete."""
        await self._flush()
        if self._transport is not None:
            self._transport.abort()

    async def _flush(self) -> None:
        self.broken = self._transport is not None
        deadline = time.monotonic() + FLUSH_TIMEOUT
        while self._unsent_bytes() and time.monotonic() < deadline:
            await asyncio.sleep(0.001)

    def _unsent_bytes(self) -> int:
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    async def _write_bytes(self, data: bytes, pause: float) -> None:
        for at in range(len(data)):
            await self._send({"type": "http.response.body", "body": data[at : at + 1], "more_body": True})
            await asyncio.sleep(pause)


def _json_headers(length: int) -> Headers:
    return [(b"content-type", b"application/json"), (b"content-length", b"%d" % length)]
