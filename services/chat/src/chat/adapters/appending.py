"""Appending to many logs in one round trip: each token of each turn passes here.

It goes past the client's own layers, which cost several times what the call itself does.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import hiredis
from redis.exceptions import ResponseError

from chat.adapters.log_format import ENTRY, LIFETIME, dumped, key_of
from chat.ports.streams import Append, Appended, CopyUnavailable
from parley.deadlines import patient_timeout
from parley.redis import UNAVAILABLE, Client

MOST = 1000
"""Entries in one round trip, each of which has the whole time limit for itself."""


class Appender:
    """Appends over one connection that it keeps."""

    def __init__(self, client: Client, *, timeout: float) -> None:
        """Take a client without a time limit of its own, and the seconds that a call may take."""
        self._pool, self._timeout = client.connection_pool, timeout
        self._calling = asyncio.Lock()
        self._kept: Any = None

    async def append(self, batches: Sequence[Append]) -> list[Appended]:
        """Append to many logs, usually in one round trip; raises CopyUnavailable when Redis is away."""
        return [appended for part in _parts(batches) for appended in await self._append(part)]

    async def _append(self, batches: Sequence[Append]) -> list[Appended]:
        commands = [list(_commands(batch)) for batch in batches]
        try:
            async with patient_timeout(self._timeout), self._calling:
                replies = iter(await self._call([command for each in commands for command in each]))
        except UNAVAILABLE as error:
            raise CopyUnavailable from error
        return [_judge([next(replies) for _ in each]) for each in commands]

    async def _call(self, commands: list[bytes]) -> list[Any]:
        """Send packed commands at once, return their replies; what the server refuses is a reply."""
        connection = await self._connection()
        try:
            await connection.send_packed_command(commands, check_health=False)
            return [await _reply(connection) for _ in commands]
        except BaseException:
            await connection.disconnect(nowait=True)
            raise

    async def _connection(self) -> Any:
        """Return the connection, another one if the server has closed it meanwhile."""
        if self._kept is not None and self._kept.is_connected and not await self._kept.can_read():
            return self._kept
        kept, self._kept = self._kept, None
        if kept is not None:
            await self._pool.release(kept)
        self._kept = await self._pool.get_connection()  # type: ignore[no-untyped-call]
        return self._kept


def _parts(batches: Sequence[Append]) -> Iterator[list[Append]]:
    """Yield batches together while they have few enough entries."""
    part: list[Append] = []
    count = 0
    for batch in batches:
        if part and count + len(batch.entries) > MOST:
            yield part
            part, count = [], 0
        part.append(batch)
        count += len(batch.entries)
    if part:
        yield part


def _commands(batch: Append) -> Iterator[bytes]:
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


async def _reply(connection: Any) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


def _judge(replies: Sequence[Any]) -> Appended:
    for reply in replies:
        if isinstance(reply, ResponseError) and "equal or smaller" in str(reply):
            return "refused"
        if isinstance(reply, Exception):
            raise CopyUnavailable from reply
        if reply is None:
            return "missing"
    return "appended"
