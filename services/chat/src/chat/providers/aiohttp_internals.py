"""Parts of aiohttp below its public methods: a read that resumes only what is paused.

``StreamReader.readany`` resumes the parser and the transport after every read, which costs more than the read itself.
Everything here depends on undocumented names, so ``pyproject.toml`` caps the version of aiohttp and
``test_aiohttp_internals.py`` fails when a name changes.
"""
# ruff: noqa: SLF001

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from aiohttp.helpers import TimerNoop


def reader_of(content: aiohttp.StreamReader) -> Callable[[], Awaitable[bytes]]:
    """Return a function that does what ``content.readany`` does: return the received bytes, or none at the end."""
    if content.__class__ is not aiohttp.StreamReader or not isinstance(content._timer, TimerNoop):
        return content.readany
    if content.total_compressed_bytes is not None:
        return content.readany  # a decompressor may hold data that only a resumed parser returns
    return _PlainReader(content).read


class _PlainReader:
    """Reads a body without compression and without a timer of aiohttp."""

    __slots__ = ("_content", "_loop")

    def __init__(self, content: Any) -> None:
        self._content, self._loop = content, asyncio.get_running_loop()

    async def read(self) -> bytes:
        content = self._content
        buffer = content._buffer
        if content._exception is not None or (not buffer and not await self._wait()):
            return await content.readany()  # type: ignore[no-any-return]
        if content._buffer_offset or content._protocol._reading_paused:
            return content._read_nowait(-1)  # type: ignore[no-any-return]
        data: bytes = buffer[0] if len(buffer) == 1 else b"".join(buffer)
        buffer.clear()
        content._size = 0
        content._cursor += len(data)
        splits = content._http_chunk_splits
        while splits and splits[0] < content._cursor:
            splits.popleft()
        return data

    async def _wait(self) -> bool:
        """Wait for bytes; return whether there are any."""
        content = self._content
        while not content._buffer:
            if content._eof or content._waiter is not None or not content._protocol.connected:
                return False
            content._waiter = self._loop.create_future()
            try:
                await content._waiter
            finally:
                content._waiter = None
        return True
