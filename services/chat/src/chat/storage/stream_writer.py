"""Batched appends to turn logs in Redis streams, on the path of every token."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from chat.running.turn_log_store import AppendResult, LogAppend, LogEnd, LogStoreUnavailable
from chat.storage.log_format import END, ENTRY, LIFETIME, encode_entry, key_of
from parley.storage.redis import REDIS_UNAVAILABLE, RedisClient, ResponseError
from parley.storage.redis_internals import RawConnection, pack

MAX_ENTRIES = 1000
"""Entries in one call. Each call has the full timeout."""
_APPEND = b"*6\r\n$4\r\nXADD\r\n$%d\r\n%b\r\n$10\r\nNOMKSTREAM\r\n$%d\r\n%b\r\n$1\r\ne\r\n$%d\r\n%b\r\n"
ENDED_LIFETIME = 60
"""Seconds until the log of an ended turn expires."""


class StreamWriter:
    """Appends to turn logs over one connection."""

    def __init__(self, client: RedisClient, *, timeout: float) -> None:
        """Use ``client``, which must have no socket timeout; ``timeout`` is the limit of one call in seconds."""
        self._connection = RawConnection(client, timeout=timeout, notes_loss=True)

    async def append(self, batches: Sequence[LogAppend]) -> list[AppendResult]:
        """Append to many logs, usually in one call; raises LogStoreUnavailable if Redis does not respond."""
        return [appended for part in _parts(batches) for appended in await self._append(part)]

    async def mark_ended(self, ends: Sequence[LogEnd]) -> None:
        """End logs and let them expire soon, in one call; raises LogStoreUnavailable if Redis does not respond."""
        commands = []
        for turn_id, epoch, seq in ends:
            key = key_of(turn_id)
            commands.append(pack("XADD", key, "NOMKSTREAM", f"{epoch}-{seq}", END, b"1"))
            commands.append(pack("EXPIRE", key, ENDED_LIFETIME))
        try:
            await self._connection.call(commands)
        except REDIS_UNAVAILABLE as error:
            raise LogStoreUnavailable from error

    async def _append(self, batches: Sequence[LogAppend]) -> list[AppendResult]:
        commands: list[bytes] = []
        bounds = [0]
        for batch in batches:
            _add_commands(batch, commands)
            bounds.append(len(commands))
        try:
            replies = await self._connection.call(commands)
        except REDIS_UNAVAILABLE as error:
            raise LogStoreUnavailable from error
        return [_result_of(replies[start:end]) for start, end in pairwise(bounds)]


def _parts(batches: Sequence[LogAppend]) -> Iterator[list[LogAppend]]:
    """Yield batches together while they have few enough entries."""
    part: list[LogAppend] = []
    count = 0
    for batch in batches:
        if part and count + len(batch.entries) > MAX_ENTRIES:
            yield part
            part, count = [], 0
        part.append(batch)
        count += len(batch.entries)
    if part:
        yield part


def _add_commands(batch: LogAppend, commands: list[bytes]) -> None:
    key, epoch, create = key_of(batch.turn_id), batch.epoch, batch.create
    encoded_key = key.encode()
    for seq, entry in enumerate(batch.entries, batch.seq):
        if create:
            create = False
            commands.append(pack("XADD", key, f"{epoch}-{seq}", ENTRY, encode_entry(entry)))
            commands.append(pack("EXPIRE", key, LIFETIME))
        else:
            commands.append(append_command(encoded_key, b"%d-%d" % (epoch, seq), encode_entry(entry)))


def append_command(key: bytes, position: bytes, entry: bytes) -> bytes:
    """Encode the append of an entry to an existing log. The bytes are those of ``pack``, in a third of the time."""
    return _APPEND % (len(key), key, len(position), position, len(entry), entry)


def _result_of(replies: Sequence[Any]) -> AppendResult:
    for reply in replies:
        if isinstance(reply, ResponseError) and "equal or smaller" in str(reply):
            return "refused"
        if isinstance(reply, Exception):
            raise LogStoreUnavailable from reply
        if reply is None:
            return "missing"
    return "appended"
