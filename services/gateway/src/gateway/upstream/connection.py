"""One HTTP/1.1 connection to a service, with backpressure in both directions."""

import asyncio
import select
import socket
import time
from collections.abc import Callable
from typing import cast

import httptools

from gateway.upstream.failures import ConnectFailed, ConnectionBroken, UpstreamFailure
from gateway.upstream.response_parser import ResponseParser
from parley.process.sockets import PEER_TIMEOUT, is_peer_lost, set_options

HIGH_WATER, READ_SIZE = 32_768, 32_768
"""Buffered response bytes at which the upstream is paused, and bytes of one read."""
RECEIVE_BUFFER = 65_536
"""Size of the kernel's receive buffer. By default it grows to megabytes for a fast upstream."""
MAX_HEAD = 65_536
NEVER = float("inf")


class UpstreamConnection(ResponseParser, asyncio.BufferedProtocol):
    """A connection that serves one request at a time. ``reusable`` tells whether it can serve another."""

    __slots__ = (
        "_failure", "_head_bytes", "_loop", "_on_lost", "_paused", "_poll", "_read_buffer", "_relay",
        "_silence_limit", "_transport", "_waiter", "_writable", "_write_paused", "began", "busy", "closed",
        "deadline", "has_slot", "idle_since", "received", "repeatable",
    )  # fmt: skip

    def __init__(self, on_lost: "Callable[[UpstreamConnection], None]", read_buffer: bytearray | None = None) -> None:
        """Take a callback for the lost connection. One ``read_buffer`` serves all connections of an event loop."""
        super().__init__()
        self._on_lost, self._read_buffer = on_lost, memoryview(read_buffer or bytearray(READ_SIZE))
        self._loop = asyncio.get_running_loop()  # looked up once: in Python 3.11 each call makes a system call
        self._transport: asyncio.Transport | None = None
        self._poll: select.poll | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._relay: Callable[[bytes], bool] | None = None
        self._silence_limit = 0.0
        self._head_bytes = 0
        self._paused = self._write_paused = False
        self._failure: BaseException | None = None
        self.began, self.deadline = 0.0, NEVER
        self.busy = self.has_slot = False
        self.idle_since = 0.0
        self.closed = False
        self.received = self.repeatable = False
        self.reset("GET")

    def start_request(self, method: str, data: bytes, *, timeout: float, repeatable: bool = False) -> None:
        """Send the head and the available part of the body. ``timeout``: seconds until the response's head.

        ``repeatable``: while it is unanswered, the request may be given up and sent to another endpoint.
        """
        self.reset(method)
        self._head_bytes, self.received, self.repeatable = 0, False, repeatable
        self.busy = True
        self.began = time.monotonic()
        self.deadline = self.began + timeout
        if self.closed:
            raise ConnectFailed
        self._write(data)

    async def write(self, data: bytes) -> None:
        """Send more of the request's body, and wait while the upstream is slower."""
        if self._failure:
            raise self._failure
        self._write(data)
        if self._write_paused:
            self._writable = self._loop.create_future()
            await self._writable

    async def read_head(self) -> int:
        """Wait for the response's head and return its status. For a short response, also wait for its end.

        If the upstream dies inside a short response, the request can still be retried: the client has seen nothing.
        """
        while not self.head_complete or (self._short and not self.complete):
            await self._wait()
        self.deadline = NEVER
        return self.status

    async def read_body(self, *, idle_timeout: float, relay: Callable[[bytes], bool] | None = None) -> bytes:
        """Wait up to ``idle_timeout`` seconds for body data and return it. Empty at the end of the body.

        Data that ``relay`` takes while this waits is not returned, and the wait begins again.
        """
        if not self._chunks and not self.complete:
            self.deadline = time.monotonic() + idle_timeout
            self._relay, self._silence_limit = relay, idle_timeout
            try:
                while not self._chunks and not self.complete:
                    await self._wait()
            finally:
                self._relay = None
            self.deadline = NEVER  # until the next read, the gateway waits for the client, not for the upstream
        return self.take_buffered()

    def take_buffered(self) -> bytes:
        """Return the buffered body data without waiting."""
        if not self._chunks:
            return b""
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._buffered = 0
        if self._paused and self._transport is not None and not self.closed:
            self._paused = False
            self._transport.resume_reading()
        return data

    async def peek_body(self, *, max_bytes: int) -> bytes | None:
        """Wait for the whole body and return it without consuming it. None when it fails or exceeds ``max_bytes``."""
        try:
            while not self.complete and self._buffered <= max_bytes:
                await self._wait()
        except UpstreamFailure:  # the next read raises it again
            return None
        return b"".join(self._chunks) if self._buffered <= max_bytes else None

    @property
    def reusable(self) -> bool:
        """Whether another request may use this connection."""
        return self.complete and self._keep_alive and not self.closed and self._failure is None and not self._paused

    def is_open(self) -> bool:
        """Return whether an idle connection is still open. Also detects an end the event loop has not reported yet."""
        return not self.closed and not (self._poll is not None and self._poll.poll(0))

    def has_lost_peer(self, now: float) -> bool:
        """Return whether the host that should respond has vanished. A stream notices by its missing pings."""
        if self.received or not self.busy or now - self.began < PEER_TIMEOUT.seconds or self._transport is None:
            return False
        return is_peer_lost(self._transport.get_extra_info("socket"), PEER_TIMEOUT.seconds)

    def mark_idle(self, now: float) -> None:
        self.busy, self.idle_since, self.deadline = False, now, NEVER

    def fail(self, failure: BaseException) -> None:
        """Raise ``failure`` in the waiting task, and close the connection at once."""
        if self._failure is None:
            self._failure = failure
        self._wake()
        self.abort()

    def abort(self) -> None:
        """Close the connection at once."""
        self._keep_alive = False
        if self._transport is not None:
            self._transport.abort()

    # Callbacks of asyncio.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        opened = transport.get_extra_info("socket")
        if opened is not None:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            set_options(opened, PEER_TIMEOUT.keepalive())
            self._poll = select.poll()
            self._poll.register(opened.fileno(), select.POLLIN)

    def get_buffer(self, sizehint: int) -> memoryview:
        del sizehint
        return self._read_buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(self._read_buffer[:nbytes])

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
                self.fail(ConnectionBroken())
        else:
            self._count_head(len(data))
            if self._relay is not None and self._chunks and self._relay_chunks(self._relay):
                return
        if self._buffered > HIGH_WATER and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def _relay_chunks(self, relay: Callable[[bytes], bool]) -> bool:
        """Hand the buffered data over while the reader waits; return whether that was all there is to do."""
        waiting = self._waiter is not None and not self._waiter.done()
        if not waiting or self.complete or self._failure is not None:
            return False
        if not relay(self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)):
            return False
        self._chunks.clear()
        self._buffered = 0
        self.deadline = time.monotonic() + self._silence_limit
        return True

    def _count_head(self, size: int) -> None:
        if not self.head_complete:
            self._head_bytes += size
            if self._head_bytes > MAX_HEAD:
                self.fail(ConnectionBroken())

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        if self.head_complete and not self.complete and not self._framed and error is None and self._failure is None:
            self.complete = True
        elif not self.complete and self._failure is None:
            self._failure = ConnectionBroken()
        self._keep_alive = False
        self._wake()
        self._resume_writer()
        self._on_lost(self)

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        self._resume_writer()

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
