"""Copies of running logs in Redis Streams: ids are ``<epoch>-<seq>``, so a higher epoch shuts out the lower ones."""

import contextlib
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson
from redis.exceptions import ResponseError

from chat.domain import Entry
from chat.ports import Append, Appended, Copied, CopyUnavailable
from parley.redis import UNAVAILABLE, Client

LIFETIME = 86_400
AFTER_END = 60
"""Seconds for which the copy of a running, and of an ended turn is kept."""
SEALED_SEQ = 0
CANCEL_CHANNEL = "parley:chat:cancel"
SUBSCRIBE_WAIT = 1.0
_ENTRY, _END = b"e", b"end"


def key_of(turn_id: UUID) -> str:
    """Return the key of a turn's log."""
    return f"parley:turn:{turn_id}"


class RedisStreams:
    """The StreamStore: short calls on a pool, blocking reads on one connection of their own."""

    def __init__(self, client: Client, tail: Client) -> None:
        """Take a client for short calls, and one whose timeout outlasts the blocking reads."""
        self._client, self._tail = client, tail

    async def append(self, batches: Sequence[Append]) -> list[Appended]:
        """Append to many logs in one round trip; raises CopyUnavailable when Redis is away."""
        pipeline = self._client.pipeline(transaction=False)
        sizes = [_queue(pipeline, batch) for batch in batches]
        with _translated():
            replies = await pipeline.execute(raise_on_error=False)
        found, position = [], 0
        for size in sizes:
            found.append(_judge(replies[position : position + size]))
            position += size
        return found

    async def end(self, turn_id: UUID, epoch: int, seq: int) -> None:
        """Hint that a turn has ended, and let its copy go soon; raises CopyUnavailable."""
        pipeline = self._client.pipeline(transaction=False)
        pipeline.execute_command("XADD", key_of(turn_id), "NOMKSTREAM", f"{epoch}-{seq}", _END, b"1")
        pipeline.expire(key_of(turn_id), AFTER_END)
        with _translated():
            await pipeline.execute(raise_on_error=False)

    async def seal(self, turn_id: UUID, epoch: int) -> list[Copied]:
        """Shut out all lower epochs, then return what they wrote; raises CopyUnavailable."""
        pipeline = self._client.pipeline(transaction=False)
        pipeline.execute_command("XADD", key_of(turn_id), f"{epoch}-{SEALED_SEQ}", _END, b"0")
        pipeline.expire(key_of(turn_id), LIFETIME)
        pipeline.xrange(key_of(turn_id))
        with _translated():
            replies = await pipeline.execute(raise_on_error=False)
            if isinstance(replies[2], Exception):
                raise replies[2]
        return [_copied(*item) for item in replies[2]]

    async def read(self, turn_id: UUID) -> list[Copied]:
        """Return the whole copy; raises CopyUnavailable."""
        with _translated():
            items: Any = await self._client.xrange(key_of(turn_id))
        return [_copied(*item) for item in items]

    async def top(self, turn_id: UUID) -> tuple[int, int] | None:
        """Return epoch and seq of the newest entry, None without a copy; raises CopyUnavailable."""
        with _translated():
            newest: Any = await self._client.xrevrange(key_of(turn_id), count=1)
        return _id(newest[0][0]) if newest else None

    async def tail(self, cursors: Mapping[UUID, tuple[int, int]], wait: float) -> dict[UUID, list[Copied]]:
        """Wait up to ``wait`` seconds for what is behind the cursors of many logs; raises CopyUnavailable."""
        streams: Any = {key_of(turn_id): f"{epoch}-{seq}" for turn_id, (epoch, seq) in cursors.items()}
        with _translated():
            found: Any = await self._tail.xread(streams, block=max(1, round(wait * 1000)))
        return {_turn_id(key): [_copied(*item) for item in items] for key, items in found or ()}

    async def ping(self) -> None:
        """Return when Redis answers; raises CopyUnavailable."""
        with _translated():
            await self._client.ping()

    async def forget(self, turn_id: UUID, epoch: int) -> None:
        """Replace the copy by a seal, so that a runner which does not know yet writes nothing more."""
        pipeline = self._client.pipeline(transaction=True)
        pipeline.delete(key_of(turn_id))
        pipeline.execute_command("XADD", key_of(turn_id), f"{epoch}-{SEALED_SEQ}", _END, b"0")
        pipeline.expire(key_of(turn_id), LIFETIME)
        with _translated():
            await pipeline.execute()

    async def hint_cancel(self, turn_id: UUID) -> None:
        """Tell all replicas that a turn is to end, if Redis is there."""
        with contextlib.suppress(*UNAVAILABLE):
            await self._client.publish(CANCEL_CHANNEL, str(turn_id))

    async def cancels(self) -> AsyncGenerator[UUID, None]:
        """Yield the turns that are to end; raises CopyUnavailable."""
        with _translated():
            async with self._client.pubsub(ignore_subscribe_messages=True) as subscription:
                await subscription.subscribe(CANCEL_CHANNEL)
                while True:
                    message = await subscription.get_message(timeout=SUBSCRIBE_WAIT)
                    if message is not None:
                        yield UUID(message["data"].decode())


def _queue(pipeline: Any, batch: Append) -> int:
    """Queue the commands of one log; returns how many."""
    key, count = key_of(batch.turn_id), 0
    for offset, entry in enumerate(batch.entries):
        create = batch.create and offset == 0
        only_existing = () if create else ("NOMKSTREAM",)
        pipeline.execute_command(
            "XADD", key, *only_existing, f"{batch.epoch}-{batch.seq + offset}", _ENTRY, _dump(entry)
        )
        count += 1
        if create:
            pipeline.expire(key, LIFETIME)
            count += 1
    return count


def _judge(replies: Sequence[Any]) -> Appended:
    for reply in replies:
        if isinstance(reply, ResponseError) and "equal or smaller" in str(reply):
            return "refused"
        if isinstance(reply, Exception):
            raise CopyUnavailable from reply
        if reply is None:
            return "missing"
    return "appended"


def _dump(entry: Entry | None) -> bytes:
    return orjson.dumps(entry.to_json() if entry else None)


def _copied(identifier: bytes, fields: Mapping[bytes, bytes]) -> Copied:
    epoch, seq = _id(identifier)
    stored = orjson.loads(fields[_ENTRY]) if _ENTRY in fields else None
    return Copied(epoch, seq, None if stored is None else Entry.from_json(stored), _END in fields)


def _id(identifier: bytes) -> tuple[int, int]:
    epoch, _, seq = identifier.decode().partition("-")
    return int(epoch), int(seq)


def _turn_id(key: bytes) -> UUID:
    return UUID(key.decode().rpartition(":")[2])


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except UNAVAILABLE as error:
        raise CopyUnavailable from error
