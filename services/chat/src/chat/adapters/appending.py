"""Appending to many logs by one call of a script: each token of each turn passes here.

It goes past the client's own layers, which cost several times what the call itself does.
"""

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import hiredis
from redis.exceptions import NoScriptError

from chat.adapters.log_format import ENTRY, LIFETIME, dumped, key_of
from chat.ports import Append, Appended, CopyUnavailable
from parley.deadlines import patient_timeout
from parley.redis import UNAVAILABLE, Client

# For each log: whether to create it, how many entries, then id and content of each. The first id that a log refuses
# ends what is appended to it; what else goes wrong is the answer.
SCRIPT = f"""
local verdicts, at = {{}}, 1
for position, key in ipairs(KEYS) do
    local create, last, verdict = ARGV[at] == '1', at + 2 * tonumber(ARGV[at + 1]), 1
    for id = at + 2, last, 2 do
        local reply
        if create then
            reply = redis.pcall('XADD', key, ARGV[id], '{ENTRY.decode()}', ARGV[id + 1])
            redis.pcall('EXPIRE', key, {LIFETIME})
            create = false
        else
            reply = redis.pcall('XADD', key, 'NOMKSTREAM', ARGV[id], '{ENTRY.decode()}', ARGV[id + 1])
        end
        if not reply then
            verdict = 0
        elseif reply['err'] and string.find(reply['err'], 'equal or smaller', 1, true) then
            verdict = -1
        elseif reply['err'] then
            return reply
        end
        if verdict < 1 then break end
    end
    verdicts[position], at = verdict, last + 2
end
return verdicts
"""
DIGEST = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()
VERDICTS: dict[int, Appended] = {1: "appended", 0: "missing", -1: "refused"}
MOST = 1000
"""Entries in one call, so that a script never keeps Redis for long: it takes about a millisecond for so many."""


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
        keys = [key_of(batch.turn_id) for batch in batches]
        words = [word for batch in batches for word in _words(batch)]
        try:
            async with patient_timeout(self._timeout), self._calling:
                verdicts = await self._evaluate(len(keys), *keys, *words)
        except UNAVAILABLE as error:
            raise CopyUnavailable from error
        return [VERDICTS[verdict] for verdict in verdicts]

    async def _evaluate(self, *words: Any) -> list[int]:
        try:
            return await self._call("EVALSHA", DIGEST, *words)
        except NoScriptError:
            return await self._call("EVAL", SCRIPT, *words)

    async def _call(self, *words: Any) -> list[int]:
        connection = await self._connection()
        try:
            await connection.send_packed_command([hiredis.pack_command(words)], check_health=False)
            reply: list[int] = await connection.read_response()
        except NoScriptError:
            raise
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return reply

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


def _words(batch: Append) -> Iterator[str | int | bytes]:
    yield "1" if batch.create else "0"
    yield len(batch.entries)
    for seq, entry in enumerate(batch.entries, batch.seq):
        yield f"{batch.epoch}-{seq}"
        yield dumped(entry)
