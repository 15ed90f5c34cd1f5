"""Parts of aiohttp below its public methods: a read that resumes only what is paused, and that may wake no task.

``StreamReader.readany`` resumes the parser and the transport after every read, which costs more than the read itself.
Everything here depends on undocumented names, so ``pyproject.toml`` caps the version of aiohttp and
``test_aiohttp_internals.py`` fails when a name changes.
"""
# ruff: noqa: SLF001

import asyncio
from collections.abc import Callable
from typing import Any, Literal, Protocol

import aiohttp
from aiohttp.helpers import TimerNoop

Push = Callable[[bytes], bool]
"""Takes bytes that arrive during a wait. Returns whether the wait goes on; otherwise the read returns no bytes."""


class BodyReader(Protocol):
    """Reads a body."""

    async def read(self, push: Push | None = None) -> bytes:
        """Return the received bytes, or none at the end or after ``push`` has ended the wait."""
        ...


def reader_of(content: aiohttp.StreamReader) -> BodyReader:
    """Return a reader whose reads do what ``content.readany`` does.

    Bytes that arrive while a read waits go to ``push`` if that is possible.
    """
    if content.__class__ is not aiohttp.StreamReader or not isinstance(content._timer, TimerNoop):
        return _AiohttpReader(content)
    if content.total_compressed_bytes is not None:
        return _AiohttpReader(content)  # a decompressor may hold data that only a resumed parser returns
    return _PlainReader(content)


class _AiohttpReader:
    """Reads any body, and pushes nothing."""

    def __init__(self, content: aiohttp.StreamReader) -> None:
        self._content = content

    async def read(self, push: Push | None = None) -> bytes:
        del push
        return await self._content.readany()


class _PlainReader:
    """Reads a body without compression and without a timer of aiohttp."""

    __slots__ = ("_content", "_loop")

    def __init__(self, content: Any) -> None:
        self._content, self._loop = content, asyncio.get_running_loop()

    async def read(self, push: Push | None = None) -> bytes:
        content = self._content
        if content._exception is not None:
            return await content.readany()  # type: ignore[no-any-return]
        if not content._buffer:
            ended = await self._wait(push)
            if ended == "pushed":
                return b""
            if ended == "closed":
                return await content.readany()  # type: ignore[no-any-return]
        if not self.is_plain:
            return content._read_nowait(-1)  # type: ignore[no-any-return]
        return self.take()

    @property
    def is_plain(self) -> bool:
        """Whether ``take`` may be used: nothing is paused, and no part of the buffer was read."""
        return not (self._content._buffer_offset or self._content._protocol._reading_paused)

    def take(self) -> bytes:
        content = self._content
        buffer = content._buffer
        data: bytes = buffer[0] if len(buffer) == 1 else b"".join(buffer)
        buffer.clear()
        content._size = 0
        content._cursor += len(data)
        splits = content._http_chunk_splits
        while splits and splits[0] < content._cursor:
            splits.popleft()
        return data

    async def _wait(self, push: Push | None) -> Literal["received", "pushed", "closed"]:
        content = self._content
        while not content._buffer:
            if content._eof or content._waiter is not None or not content._protocol.connected:
                return "closed"
            future = self._loop.create_future()
            content._waiter = future if push is None else _PushWaiter(self, content, future, push)
            try:
                if await future:
                    return "pushed"
            finally:
                content._waiter = None
        return "received"


class _PushWaiter:
    """Stands for the future of a wait: it stays in its place while what is received can be pushed."""

    __slots__ = ("_content", "_future", "_push", "_reader")

    def __init__(self, reader: _PlainReader, content: Any, future: "asyncio.Future[bool | None]", push: Push) -> None:
        self._reader, self._content, self._future, self._push = reader, content, future, push

    def done(self) -> bool:
        return self._future.done()

    def set_result(self, _result: None) -> None:
        """Push what has come: bytes, the end of an HTTP chunk, or the end of the body."""
        content = self._content
        if not (content._buffer or content._eof):
            content._waiter = self
        elif content._eof or not self._reader.is_plain:
            self._future.set_result(None)
        elif self._push(self._reader.take()):
            content._waiter = self
        else:
            self._future.set_result(True)

    def set_exception(self, error: BaseException) -> None:
        if not self._future.done():
            self._future.set_exception(error)
