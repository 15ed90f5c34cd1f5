"""Turn logs in Redis streams. Ids are ``<epoch>-<seq>``, so that a higher epoch fences lower ones."""

import contextlib
from collections.abc import AsyncGenerator, Collection, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from chat.running.log_store import AppendResult, LogAppend, LogItem, LogStoreUnavailable
from chat.storage.log_format import END, LIFETIME, copied, key_of, position_of, turn_id_of
from chat.storage.stream_writer import StreamWriter
from parley.storage.redis import REDIS_UNAVAILABLE, RedisClient

AFTER_END = 60
"""Seconds until the log of a finished turn expires."""
SEALED_SEQ = 0
CANCEL_CHANNEL = "parley:chat:cancel"
SUBSCRIBE_WAIT = 1.0


class RedisLogStore:
    """The StreamStore: short calls on a pool, blocking reads on one connection of their own."""

    def __init__(self, client: RedisClient, tail: RedisClient, appender: StreamWriter) -> None:
        """Take a client for short calls, and one whose timeout outlasts the blocking reads."""
        self._client, self._tail, self._appender = client, tail, appender

    async def append(self, batches: Sequence[LogAppend]) -> list[AppendResult]:
        """Append to many logs in one round trip; raises CopyUnavailable when Redis is away."""
        return await self._appender.append(batches)

    async def mark_ended(self, turn_id: UUID, epoch: int, seq: int) -> None:
        """Hint that a turn has ended, and let its copy go soon; raises CopyUnavailable."""
        pipeline = self._client.pipeline(transaction=False)
        pipeline.execute_command("XADD", key_of(turn_id), "NOMKSTREAM", f"{epoch}-{seq}", END, b"1")
        pipeline.expire(key_of(turn_id), AFTER_END)
        with _translated():
            await pipeline.execute(raise_on_error=False)

    async def seal(self, turn_id: UUID, epoch: int) -> list[LogItem]:
        """Fence all lower epochs and return their entries; raises LogStoreUnavailable."""
        pipeline = self._client.pipeline(transaction=False)
        pipeline.execute_command("XADD", key_of(turn_id), f"{epoch}-{SEALED_SEQ}", END, b"0")
        pipeline.expire(key_of(turn_id), LIFETIME)
        pipeline.xrange(key_of(turn_id))
        with _translated():
            replies = await pipeline.execute(raise_on_error=False)
            if isinstance(replies[2], Exception):
                raise replies[2]
        return [copied(*item) for item in replies[2]]

    async def read(self, turn_id: UUID) -> list[LogItem]:
        """Return the whole copy; raises CopyUnavailable."""
        with _translated():
            items: Any = await self._client.xrange(key_of(turn_id))
        return [copied(*item) for item in items]

    async def newest_position(self, turn_id: UUID) -> tuple[int, int] | None:
        """Return epoch and seq of the newest entry, None without a copy; raises CopyUnavailable."""
        with _translated():
            newest: Any = await self._client.xrevrange(key_of(turn_id), count=1)
        return position_of(newest[0][0]) if newest else None

    async def tail(self, cursors: Mapping[UUID, tuple[int, int]], wait: float) -> dict[UUID, list[LogItem]]:
        """Wait up to ``wait`` seconds for what is behind the cursors of many logs; raises CopyUnavailable."""
        streams: Any = {key_of(turn_id): f"{epoch}-{seq}" for turn_id, (epoch, seq) in cursors.items()}
        with _translated():
            found: Any = await self._tail.xread(streams, block=max(1, round(wait * 1000)))
        return {turn_id_of(key): [copied(*item) for item in items] for key, items in found or ()}

    async def ping(self) -> None:
        """Return when Redis answers; raises CopyUnavailable."""
        with _translated():
            await self._client.ping()

    async def erase(self, turn_id: UUID, epoch: int) -> None:
        """Replace the copy by a seal, so that a runner which does not know yet writes nothing more."""
        pipeline = self._client.pipeline(transaction=True)
        pipeline.delete(key_of(turn_id))
        pipeline.execute_command("XADD", key_of(turn_id), f"{epoch}-{SEALED_SEQ}", END, b"0")
        pipeline.expire(key_of(turn_id), LIFETIME)
        with _translated():
            await pipeline.execute()

    async def mark_read(self, turn_ids: Collection[UUID], seconds: float) -> None:
        """Note that turns have readers, to be forgotten after ``seconds``; raises CopyUnavailable."""
        pipeline = self._client.pipeline(transaction=False)
        for turn_id in turn_ids:
            pipeline.set(_readers_key(turn_id), 1, px=round(seconds * 1000))
        with _translated():
            await pipeline.execute()

    async def is_read(self, turn_id: UUID) -> bool:
        """Say whether a turn was marked as read not long ago; raises CopyUnavailable."""
        with _translated():
            return bool(await self._client.exists(_readers_key(turn_id)))

    async def publish_cancellation(self, turn_id: UUID) -> None:
        """Tell all replicas that a turn is to end, if Redis is there."""
        with contextlib.suppress(*REDIS_UNAVAILABLE):
            await self._client.publish(CANCEL_CHANNEL, str(turn_id))

    async def cancellations(self) -> AsyncGenerator[UUID, None]:
        """Yield the turns that are to end; raises CopyUnavailable."""
        with _translated():
            async with self._client.pubsub(ignore_subscribe_messages=True) as subscription:
                await subscription.subscribe(CANCEL_CHANNEL)
                while True:
                    message = await subscription.get_message(timeout=SUBSCRIBE_WAIT)
                    if message is not None:
                        yield UUID(message["data"].decode())


def _readers_key(turn_id: UUID) -> str:
    return f"{key_of(turn_id)}:read"


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except REDIS_UNAVAILABLE as error:
        raise LogStoreUnavailable from error
