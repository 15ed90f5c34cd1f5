"""Cheap upstream: reads whole requests, then sends a small body, a large body or a stream.

``python tests/bench/upstream.py PORT KEYS`` where KEYS is a file with the JWKS. Paths that end in ``/stream`` get an
event a second, each with the time (nanoseconds of the monotonic clock) at which it was sent; LARGE gets 4 MiB.
"""

import asyncio
import random
import socket
import sys
import time
from pathlib import Path
from typing import cast

import httptools
import uvloop

LARGE = "/.well-known/oauth-authorization-server"
LARGE_SIZE = 4 * 1_048_576
PIECE = 65_536
SEND_BUFFER = 65_536
"""On loopback the kernel would buffer megabytes per connection, which a real network does not."""
INTERVAL = 1.0
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def answer(body: bytes, kind: bytes = b"application/json") -> bytes:
    """Return a complete response."""
    return b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n%b" % (kind, len(body), body)


class Upstream(asyncio.Protocol):
    """One connection from the gateway."""

    transport: asyncio.Transport

    def __init__(self, keys: bytes, large: bytes) -> None:
        self._keys, self._large, self._target = answer(keys), large, b""
        self._parser = httptools.HttpRequestParser(self)
        self._timer: asyncio.TimerHandle | None = None
        self._left = memoryview(b"")
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)

    def connection_lost(self, exc: Exception | None) -> None:
        self._left = memoryview(b"")
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._write_on()

    def on_message_begin(self) -> None:
        self._target = b""

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_message_complete(self) -> None:
        if self._target.endswith(b"jwks.json"):
            self.transport.write(self._keys)
        elif self._target.endswith(b"/stream"):
            self.transport.write(STREAM)
            self._timer = asyncio.get_running_loop().call_later(random.uniform(0, INTERVAL), self._event)
        elif self._target == LARGE.encode():
            self._left = memoryview(self._large)
            self._write_on()
        else:
            self.transport.write(answer(b'{"data":[]}'))

    def _event(self) -> None:
        event = b"data: %d\n\n" % time.monotonic_ns()
        self.transport.write(b"%x\r\n%b\r\n" % (len(event), event))
        self._timer = asyncio.get_running_loop().call_later(INTERVAL * random.uniform(0.8, 1.2), self._event)

    def _write_on(self) -> None:
        while self._left and not self._paused and not self.transport.is_closing():
            self.transport.write(bytes(self._left[:PIECE]))
            self._left = self._left[PIECE:]


async def serve(port: int, keys: bytes) -> None:
    """Serve until killed."""
    large = answer(b" " * LARGE_SIZE, b"application/octet-stream")
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Upstream(keys, large), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), Path(sys.argv[2]).read_bytes()))
