"""HTTP client for measurements: requests in turn over one connection."""

import asyncio
import time
from typing import Self

OK = 200


class MeasuringClient:
    """Sends GET requests one after the other and returns status, milliseconds and body."""

    def __init__(self, port: int, timeout: float) -> None:
        self._port, self._timeout = port, timeout
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, path: str, token: str) -> tuple[int, float, bytes]:
        """Return the response; a connection error or a timeout has the status 0."""
        began = time.perf_counter()
        try:
            async with asyncio.timeout(self._timeout):
                status, body = await self._exchange(path, token)
        except (OSError, EOFError, TimeoutError):
            status, body = 0, b""
            self.close()
        return status, (time.perf_counter() - began) * 1000, body

    async def _exchange(self, path: str, token: str) -> tuple[int, bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=2**24)
        reader, writer = self._streams
        writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if b"transfer-encoding: chunked" in head:
            return int(head[9:12]), await _read_chunks(reader)
        length = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
        return int(head[9:12]), await reader.readexactly(length)

    def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    """Read a body in chunks; keep only its length in memory."""
    first = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        chunk = await reader.readexactly(size + 2)
        first = first or chunk[:-2]
    await reader.readexactly(2)
    return first
