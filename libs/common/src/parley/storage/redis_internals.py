"""A connection of redis-py, driven below its public commands.

The public layers of redis-py cost several times what a call itself costs. Everything here depends on undocumented
names, so ``pyproject.toml`` caps the version of redis-py and ``test_redis_internals.py`` fails when a name changes.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import hiredis

from parley.process.timeouts import LagTolerantTimer, lag_tolerant_timeout
from parley.storage.redis import RedisClient, ResponseError
from parley.storage.redis_connection import refusal_of

_INCOMPLETE = object()
"""What the reply reader returns while a reply is incomplete."""


def pack(*words: Any) -> bytes:
    """Encode one command for ``RawConnection.call``."""
    packed: bytes = hiredis.pack_command(words)
    return packed


class RawConnection:
    """One pooled connection, kept open, that sends many commands in one write.

    The client opens the connection and authenticates. A broken connection is replaced at the next call.
    """

    def __init__(self, client: RedisClient, *, timeout: float, notes_loss: bool = False) -> None:
        """Take the connection from ``client``; ``timeout`` is the limit of one call in seconds.

        With ``notes_loss``, a call fails if the connection was lost since the last one: the next connection may lead
        to a server that lacks what this one had written.
        """
        self._pool, self._timeout, self._notes_loss = client.connection_pool, timeout, notes_loss
        self._lock = asyncio.Lock()
        self._connection: Any = None
        self._protocol: _ReplyProtocol | None = None

    async def call(self, commands: Sequence[bytes]) -> list[Any]:
        """Send packed commands in one write and return their replies; an error reply is returned, not raised.

        Raises one of ``REDIS_UNAVAILABLE``, also when Redis answers that it is the wrong node or cannot serve now.
        """
        async with self._lock:
            protocol = self._protocol
            if protocol is not None and protocol.closed:
                self._protocol = protocol = None
                if self._notes_loss:
                    raise ConnectionResetError
            protocol = protocol or await self._connect()
            try:
                return await protocol.call(commands, self._timeout)
            except BaseException:
                self._protocol = None
                raise

    async def execute(self, *words: Any) -> Any:
        """Send one command and return its reply; raise ResponseError, or one of ``REDIS_UNAVAILABLE``."""
        (reply,) = await self.call([pack(*words)])
        if isinstance(reply, ResponseError):
            raise reply
        return reply

    async def _connect(self) -> "_ReplyProtocol":
        async with lag_tolerant_timeout(self._timeout):
            if self._connection is not None:
                connection, self._connection, self._protocol = self._connection, None, None
                await connection.disconnect(nowait=True)
                await self._pool.release(connection)
            self._connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
            self._protocol = _ReplyProtocol(self._connection._writer.transport)  # noqa: SLF001 - has no public name
            return self._protocol


class _ReplyProtocol(asyncio.Protocol):
    """Replaces the stream protocol of an open connection; one call at a time."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._loop, self._transport = asyncio.get_running_loop(), transport
        self._stream_protocol = transport.get_protocol()
        transport.set_protocol(self)
        self._reader = hiredis.Reader(replyError=ResponseError, notEnoughData=_INCOMPLETE)
        self._expected = 0
        self._replies: list[Any] = []
        self._waiter: asyncio.Future[list[Any]] | None = None
        self.closed = transport.is_closing()

    async def call(self, commands: Sequence[bytes], timeout: float) -> list[Any]:
        """Send commands and collect their replies; after an exception the connection is closed."""
        self._expected, self._replies = len(commands), []
        self._waiter = self._loop.create_future()
        timer = LagTolerantTimer(timeout, lambda: self._fail(TimeoutError()))
        try:
            self._transport.write(b"".join(commands))
            replies = await self._waiter
            _check(replies)
        except RuntimeError as error:  # uvloop's, for a closed transport
            self.closed = True
            raise ConnectionResetError from error
        except BaseException:
            self.closed = True
            self._transport.abort()
            raise
        else:
            return replies
        finally:
            timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not _INCOMPLETE:
            self._replies.append(reply)
        if self._waiter is not None and not self._waiter.done() and len(self._replies) >= self._expected:
            self._waiter.set_result(self._replies)

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        self._stream_protocol.connection_lost(error)
        self._fail(error or ConnectionResetError())

    def _fail(self, error: Exception) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)


def _check(replies: Sequence[Any]) -> None:
    """Raise if Redis answers that it is the wrong node or cannot serve now."""
    for reply in replies:
        if isinstance(reply, ResponseError) and (refusal := refusal_of(reply)) is not None:
            raise refusal
