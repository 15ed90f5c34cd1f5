"""Appending to many logs in one round trip: each token of each turn passes here.

It goes past the client's own layers, which cost several times what the call itself does.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import hiredis

from chat.running.log_store import AppendResult, LogAppend, LogStoreUnavailable
from chat.storage.log_format import ENTRY, LIFETIME, dumped, key_of
from parley.process.timeouts import LagTolerantTimer, lag_tolerant_timeout
from parley.storage.redis import REDIS_UNAVAILABLE, RedisClient

MOST = 1000
"""Entries in one round trip, each of which has the whole time limit for itself."""


NOTHING = object()


class StreamWriter:
    """Appends over one connection that it keeps."""

    def __init__(self, client: RedisClient, *, timeout: float) -> None:
        """Take a client without a time limit of its own, and the seconds that a call may take."""
        self._pool, self._timeout = client.connection_pool, timeout
        self._calling = asyncio.Lock()
        self._connection: Any = None
        self._line: _WriterConnection | None = None

    async def append(self, batches: Sequence[LogAppend]) -> list[AppendResult]:
        """Append to many logs, usually in one round trip; raises CopyUnavailable when Redis is away."""
        return [appended for part in _parts(batches) for appended in await self._append(part)]

    async def _append(self, batches: Sequence[LogAppend]) -> list[AppendResult]:
        commands = [list(_commands(batch)) for batch in batches]
        try:
            async with self._calling:
                line = self._line
                if line is None or line.closed:
                    line = await self._connect()
                replies = iter(await line.call([command for each in commands for command in each], self._timeout))
        except REDIS_UNAVAILABLE as error:
            raise LogStoreUnavailable from error
        return [_judge([next(replies) for _ in each]) for each in commands]

    async def _connect(self) -> "_WriterConnection":
        """Let the client open a connection and log in, then take it over."""
        async with lag_tolerant_timeout(self._timeout):
            if self._connection is not None:
                connection, self._connection, self._line = self._connection, None, None
                await connection.disconnect(nowait=True)
                await self._pool.release(connection)
            self._connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
            self._line = _WriterConnection(self._connection._writer.transport)  # noqa: SLF001 - there is no other way to it
            return self._line


class _WriterConnection(asyncio.Protocol):
    """One call at a time over a connection to Redis."""

    def __init__(self, transport: asyncio.Transport) -> None:
        """Take the connection over from its protocol, which is only told of its end."""
        self._loop, self._transport = asyncio.get_running_loop(), transport
        self._before = transport.get_protocol()
        transport.set_protocol(self)
        self._reader = hiredis.Reader(notEnoughData=NOTHING)
        self._expected = 0
        self._replies: list[Any] = []
        self._waiter: asyncio.Future[list[Any]] | None = None
        self.closed = transport.is_closing()

    async def call(self, commands: list[bytes], timeout: float) -> list[Any]:
        """Send packed commands at once, return their replies; what the server refuses is a reply.

        Raises TimeoutError or OSError, and the connection is of no more use then.
        """
        self._expected, self._replies = len(commands), []
        self._waiter = self._loop.create_future()
        timer = LagTolerantTimer(timeout, lambda: self._fail(TimeoutError()))
        self._transport.write(b"".join(commands))
        try:
            return await self._waiter
        except BaseException:
            self.closed = True
            self._transport.abort()
            raise
        finally:
            timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Collect replies."""
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not NOTHING:
            self._replies.append(reply)
        if self._waiter is not None and not self._waiter.done() and len(self._replies) >= self._expected:
            self._waiter.set_result(self._replies)

    def connection_lost(self, error: Exception | None) -> None:
        """Tell whoever waits."""
        self.closed = True
        self._before.connection_lost(error)
        self._fail(error or ConnectionResetError())

    def _fail(self, error: Exception) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)


def _parts(batches: Sequence[LogAppend]) -> Iterator[list[LogAppend]]:
    """Yield batches together while they have few enough entries."""
    part: list[LogAppend] = []
    count = 0
    for batch in batches:
        if part and count + len(batch.entries) > MOST:
            yield part
            part, count = [], 0
        part.append(batch)
        count += len(batch.entries)
    if part:
        yield part


def _commands(batch: LogAppend) -> Iterator[bytes]:
    key, create = key_of(batch.turn_id), batch.create
    for seq, entry in enumerate(batch.entries, batch.seq):
        only_existing = () if create else ("NOMKSTREAM",)
        yield _packed("XADD", key, *only_existing, f"{batch.epoch}-{seq}", ENTRY, dumped(entry))
        if create:
            yield _packed("EXPIRE", key, LIFETIME)
            create = False


def _packed(*words: Any) -> bytes:
    packed: bytes = hiredis.pack_command(words)
    return packed


def _judge(replies: Sequence[Any]) -> AppendResult:
    for reply in replies:
        if isinstance(reply, hiredis.ReplyError) and "equal or smaller" in str(reply):
            return "refused"
        if isinstance(reply, Exception):
            raise LogStoreUnavailable from reply
        if reply is None:
            return "missing"
    return "appended"
