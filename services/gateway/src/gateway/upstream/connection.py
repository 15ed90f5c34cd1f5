"""One HTTP/1.1 connection to an upstream: a head goes out, an answer comes back, never faster than read."""

import asyncio
import select
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import cast

import httptools

from gateway.proxy.headers import NOTHING, Header, nominated

HIGH_WATER, READ = 32_768, 32_768
"""Bytes of an answer that wait here before the upstream is paused, and that are read at once."""
RECEIVE_BUFFER = 65_536
"""Bytes the kernel keeps of an answer; left alone it gives an upstream that was fast megabytes."""
NEVER = float("inf")
MAX_HEAD = 65_536
SHORT, LENGTH_OF_SHORT = 16_384, len("16384")
"""Bytes of an answer that is waited for; fewer than make this connection pause."""
SWITCHING, OK = 101, 200
BODILESS = frozenset({204, 304})


class Failure(Exception):
    """The exchange cannot go on."""


class Unreachable(Failure):
    """No connection could be made: nothing was sent. ``refused``: nobody listens there, which was known at once."""

    def __init__(self, *, refused: bool = False) -> None:
        super().__init__(refused)
        self.refused = refused


class Broken(Failure):
    """The upstream closed, reset, or sent what is not HTTP."""


class Slow(Failure):
    """The upstream did not answer in time."""


class Connection(asyncio.BufferedProtocol):
    """Used by one request at a time; ``reusable`` tells afterwards whether for another one."""

    # A dictionary of so many attributes would take a kilobyte of each stream.
    __slots__ = (
        "_buffered", "_chunks", "_expects_body", "_failure", "_framed", "_head_bytes", "_keep_alive", "_loop",
        "_on_lost", "_parser", "_paused", "_poll", "_short", "_space", "_transport", "_waiter", "_writable",
        "_write_paused", "busy", "closed", "complete", "deadline", "head_complete", "headers", "idle_since",
        "nominated", "reason", "received", "slot", "status",
    )  # fmt: skip

    def __init__(self, on_lost: "Callable[[Connection], None]", space: bytearray | None = None) -> None:
        """Take what is told when the connection is gone, and the space to read into: one for all of an event loop."""
        self._on_lost, self._space = on_lost, memoryview(space or bytearray(READ))
        self._loop = asyncio.get_running_loop()  # once: to find it is a system call each time in Python 3.11
        self._transport: asyncio.Transport | None = None
        self._poll: select.poll | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._chunks: deque[bytes] = deque()
        self._buffered = self._head_bytes = 0
        self._paused = self._write_paused = False
        self._expects_body = False
        self._failure: BaseException | None = None
        self.deadline = NEVER
        self.busy = self.slot = False
        self.idle_since = 0.0
        self.status = 0
        self.reason = b""
        self.headers: list[Header]
        self.nominated: frozenset[bytes]
        self.head_complete = self.complete = False
        self.closed = False
        self.received = False
        self._keep_alive = True
        self._reset("GET")

    # The exchange, as its user sees it.

    def start(self, method: str, data: bytes, *, timeout: float) -> None:
        """Send the head (and what is at hand of the body); ``timeout`` is seconds to the answer's head."""
        self._reset(method)
        self.busy = True
        self.deadline = time.monotonic() + timeout
        if self.closed:
            raise Unreachable
        self._write(data)

    async def write(self, data: bytes) -> None:
        """Send more of the body, as fast as the upstream takes it."""
        if self._failure:
            raise self._failure
        self._write(data)
        if self._write_paused:
            self._writable = self._loop.create_future()
            await self._writable

    async def head(self) -> int:
        """Wait for the answer's head and return its status; of a short answer wait for the end, too.

        One whose sender dies in the middle can still be asked for elsewhere then: the client was told nothing.
        """
        while not self.head_complete or (self._short and not self.complete):
            await self._wait()
        self.deadline = NEVER
        return self.status

    async def read(self, *, idle: float) -> bytes:
        """Return what has come of the body since, empty at its end; ``idle`` is how many seconds that may take."""
        if not self._chunks and not self.complete:
            self.deadline = time.monotonic() + idle
            while not self._chunks and not self.complete:
                await self._wait()
            self.deadline = NEVER  # what comes next waits for the client, not for the upstream
        return self.take()

    def take(self) -> bytes:
        """Return what is here of the body without waiting."""
        if not self._chunks:
            return b""
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._buffered = 0
        if self._paused and self._transport is not None and not self.closed:
            self._paused = False
            self._transport.resume_reading()
        return data

    @property
    def reusable(self) -> bool:
        """Whether another request may use this connection."""
        return self.complete and self._keep_alive and not self.closed and self._failure is None and not self._paused

    @property
    def last(self) -> bool:
        """Whether the answer says that it ends the connection."""
        return (
            self.head_complete
            and not self._keep_alive
            and any(name == b"connection" and b"close" in value.lower() for name, value in self.headers)
        )

    def usable(self) -> bool:
        """Say whether an idle connection is still open; its end may have come, and the event loop not told it yet."""
        return not self.closed and not (self._poll is not None and self._poll.poll(0))

    async def whole(self, *, most: int) -> bytes | None:
        """Wait for an answer's end and return its body, which stays here to be read; None if it is over ``most``."""
        try:
            while not self.complete and self._buffered <= most:
                await self._wait()
        except Failure:  # whoever reads on gets it
            return None
        return b"".join(self._chunks) if self._buffered <= most else None

    def rest(self, now: float) -> None:
        """Become idle."""
        self.busy, self.idle_since, self.deadline = False, now, NEVER

    def fail(self, failure: BaseException) -> None:
        """End the exchange: whoever waits gets ``failure``, and the connection closes at once."""
        if self._failure is None:
            self._failure = failure
        self._wake()
        self.abort()

    def abort(self) -> None:
        """Close at once."""
        self._keep_alive = False
        if self._transport is not None:
            self._transport.abort()

    # What asyncio tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        opened = transport.get_extra_info("socket")
        if opened is not None:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            self._poll = select.poll()
            self._poll.register(opened.fileno(), select.POLLIN)

    def get_buffer(self, sizehint: int) -> memoryview:
        del sizehint
        return self._space

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(self._space[:nbytes])

    def data_received(self, data: bytes | memoryview) -> None:
        if not self.busy or self.complete:
            self.abort()
            return
        self.received = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._keep_alive = False
            if not self.complete:
                self.fail(Broken())
        else:
            self._count_head(len(data))
        if self._buffered > HIGH_WATER and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def _count_head(self, size: int) -> None:
        if not self.head_complete:
            self._head_bytes += size
            if self._head_bytes > MAX_HEAD:
                self.fail(Broken())

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        if self.head_complete and not self.complete and not self._framed and error is None and self._failure is None:
            self.complete = True
        elif not self.complete and self._failure is None:
            self._failure = Broken()
        self._keep_alive = False
        self._wake()
        self._resume_writer()
        self._on_lost(self)

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        self._resume_writer()

    # What the parser tells.

    def on_status(self, reason: bytes) -> None:
        self.reason = reason

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.head_complete:  # trailers, which end here
            return
        name = name.lower()
        self.headers.append((name, value))
        if name == b"content-length":
            self._framed, self._short = True, _is_short(value)
        elif name == b"transfer-encoding":
            self._framed = True
        elif name == b"connection":
            self.nominated |= nominated(value)

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status == SWITCHING:
            raise Broken
        if status < OK:
            self._forget_head()
            return
        self.status = status
        self.head_complete = True
        self._keep_alive = self._parser.should_keep_alive()
        if not self._expects_body or status in BODILESS:
            self.complete = True

    def on_body(self, data: bytes) -> None:
        self._chunks.append(data)
        self._buffered += len(data)

    def on_message_complete(self) -> None:
        if self.head_complete:
            self.complete = True

    # Inside.

    def _reset(self, method: str) -> None:
        if not self._expects_body:  # the parser would wait for the body that an answer to HEAD does not have
            self._parser = httptools.HttpResponseParser(self)
        self._expects_body = method != "HEAD"
        self._forget_head()
        self._head_bytes = 0
        self.head_complete = self.complete = self.received = False

    def _forget_head(self) -> None:
        self.headers = []
        self.nominated = NOTHING
        self._framed = self._short = False

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    async def _wait(self) -> None:
        if self._failure is not None:
            raise self._failure
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
        if self._failure is not None and not self._chunks:
            raise self._failure

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _resume_writer(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)


def _is_short(length: bytes) -> bool:
    return len(length) <= LENGTH_OF_SHORT and length.isdigit() and int(length) <= SHORT
