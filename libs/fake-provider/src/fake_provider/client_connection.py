"""The connection of one call: writes answers, and breaks off in the ways that networks do."""

import asyncio
import socket
import struct
import time

from starlette.types import Scope, Send

from fake_provider.journal import Entry
from fake_provider.knobs import Knobs

TRANSPORT = "fake_provider.transport"
FLUSH_S = 1.0
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
Headers = list[tuple[bytes, bytes]]


class Connection:
    """Sends one response. Under a server that offers no transport, a cut is an early end."""

    def __init__(self, scope: Scope, send: Send, entry: Entry) -> None:
        self._transport: asyncio.Transport | None = (scope.get("extensions") or {}).get(TRANSPORT)
        self._send = send
        self._entry = entry
        self._byte_pause: float | None = None
        self.broken = False

    def slow_down(self, knobs: Knobs) -> None:
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
        """Promise a whole JSON response, and send half of it."""
        await self.start(status, _json_headers(len(body)))
        await self.write(body[: len(body) // 2])

    async def reset(self) -> None:
        """End with TCP RST, after all that was written has left."""
        await self._flush()
        if self._transport is not None:
            endpoint = self._transport.get_extra_info("socket")
            endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            self._transport.abort()

    async def close(self) -> None:
        """End with TCP FIN, in the middle of whatever was promised."""
        await self._flush()
        if self._transport is not None:
            self._transport.abort()

    async def _flush(self) -> None:
        self.broken = self._transport is not None
        deadline = time.monotonic() + FLUSH_S
        while self._unsent() and time.monotonic() < deadline:
            await asyncio.sleep(0.001)

    def _unsent(self) -> int:
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    async def _write_bytes(self, data: bytes, pause: float) -> None:
        for at in range(len(data)):
            await self._send({"type": "http.response.body", "body": data[at : at + 1], "more_body": True})
            await asyncio.sleep(pause)


def _json_headers(length: int) -> Headers:
    return [(b"content-type", b"application/json"), (b"content-length", b"%d" % length)]
