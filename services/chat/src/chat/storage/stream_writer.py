"""Batched appends to turn logs in Redis streams, on the path of every token."""

from collections.abc import Iterator, Sequence
from typing import Any

from chat.running.turn_log_store import AppendResult, LogAppend, LogStoreUnavailable
from chat.storage.log_format import ENTRY, LIFETIME, encode_entry, key_of
from parley.storage.redis import REDIS_UNAVAILABLE, RedisClient, ResponseError
from parley.storage.redis_internals import RawConnection, pack

MAX_ENTRIES = 1000
"""Entries in one call. Each call has the full timeout."""


class StreamWriter:
    """Appends to turn logs over one connection."""

    def __init__(self, client: RedisClient, *, timeout: float) -> None:
        """Use ``client``, which must have no socket timeout; ``timeout`` is the limit of one call in seconds."""
        self._connection = RawConnection(client, timeout=timeout)

    async def append(self, batches: Sequence[LogAppend]) -> list[AppendResult]:
        """Append to many logs, usually in one call; raises LogStoreUnavailable if Redis does not respond."""
        return [appended for part in _parts(batches) for appended in await self._append(part)]

    async def _append(self, batches: Sequence[LogAppend]) -> list[AppendResult]:
        commands = [list(_commands(batch)) for batch in batches]
        try:
            replies = iter(await self._connection.call([command for each in commands for command in each]))
        except REDIS_UNAVAILABLE as error:
            raise LogStoreUnavailable from error
        return [_result_of([next(replies) for _ in each]) for each in commands]


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


def _commands(batch: LogAppend) -> Iterator[bytes]:
    key, create = key_of(batch.turn_id), batch.create
    for seq, entry in enumerate(batch.entries, batch.seq):
        only_existing = () if create else ("NOMKSTREAM",)
        yield pack("XADD", key, *only_existing, f"{batch.epoch}-{seq}", ENTRY, encode_entry(entry))
        if create:
            yield pack("EXPIRE", key, LIFETIME)
            create = False


def _result_of(replies: Sequence[Any]) -> AppendResult:
    for reply in replies:
        if isinstance(reply, ResponseError) and "equal or smaller" in str(reply):
            return "refused"
        if isinstance(reply, Exception):
            raise LogStoreUnavailable from reply
        if reply is None:
            return "missing"
    return "appended"
