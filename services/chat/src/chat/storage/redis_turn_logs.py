"""Turn logs in Redis streams, whose IDs are ``<epoch>-<seq>``: a higher epoch refuses appends of lower ones."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from chat.running.turn_log_store import AppendResult, LogAppend, LogEnd, LogItem, LogStoreUnavailable
from chat.settings import ChatSettings
from chat.storage.log_format import END, LIFETIME, decode_item, key_of, position_of, turn_id_of
from chat.storage.stream_writer import StreamWriter
from parley.process.tasks import EarlyEnds
from parley.storage.redis import REDIS_UNAVAILABLE, RedisClient, open_redis, ping

SEAL_SEQ = 0
CANCEL_CHANNEL = "parley:chat:cancel"
SUBSCRIBE_TIMEOUT = 1.0
APPEND_TIMEOUT = 0.25
"""Seconds of an append to the log store, after which streams continue without it."""
TAIL_TIMEOUT = 2.0


@contextlib.asynccontextmanager
async def open_log_store(settings: ChatSettings) -> "AsyncIterator[RedisLogStore]":
    """Open the store of replicated turn logs."""
    url = settings.redis_url.get_secret_value()
    async with (
        open_redis(url, timeout=APPEND_TIMEOUT) as client,
        open_redis(url, timeout=TAIL_TIMEOUT, max_connections=1) as tail,
        open_redis(url, timeout=None, max_connections=1) as writer,
    ):
        yield RedisLogStore(client, tail, StreamWriter(writer, timeout=APPEND_TIMEOUT))


class RedisLogStore:
    """A LogStore with a pool for short calls, a connection for blocking reads and one for appends."""

    def __init__(self, client: RedisClient, tail: RedisClient, writer: StreamWriter) -> None:
        """Use ``client`` for short calls and ``tail``, whose timeout exceeds the waits, for blocking reads."""
        self._client, self._tail, self._writer = client, tail, writer

    async def append(self, batches: Sequence[LogAppend]) -> list[AppendResult]:
        """Append to several logs in one round trip; raises LogStoreUnavailable."""
        return await self._writer.append(batches)

    async def mark_ended(self, ends: Sequence[LogEnd]) -> None:
        """Mark logs as ended and let them expire soon; raises LogStoreUnavailable."""
        await self._writer.mark_ended(ends)

    async def seal(self, turn_id: UUID, epoch: int) -> list[LogItem]:
        """Refuse appends of lower epochs and return their items; raises LogStoreUnavailable."""
        pipeline = self._client.pipeline(transaction=False)
        pipeline.execute_command("XADD", key_of(turn_id), f"{epoch}-{SEAL_SEQ}", END, b"0")
        pipeline.expire(key_of(turn_id), LIFETIME)
        pipeline.xrange(key_of(turn_id))
        with _translate_unavailable():
            replies = await pipeline.execute(raise_on_error=False)
            if isinstance(replies[2], Exception):
                raise replies[2]
        return [decode_item(*item) for item in replies[2]]

    async def read(self, turn_id: UUID) -> list[LogItem]:
        """Return all items of a log; raises LogStoreUnavailable."""
        with _translate_unavailable():
            items: Any = await self._client.xrange(key_of(turn_id))
        return [decode_item(*item) for item in items]

    async def newest_position(self, turn_id: UUID) -> tuple[int, int] | None:
        """Return the position of the newest item, None without a log; raises LogStoreUnavailable."""
        with _translate_unavailable():
            newest: Any = await self._client.xrevrange(key_of(turn_id), count=1)
        return position_of(newest[0][0]) if newest else None

    async def tail(self, cursors: Mapping[UUID, tuple[int, int]], wait: float) -> dict[UUID, list[LogItem]]:
        """Return new items behind the positions of several logs, waiting up to ``wait`` seconds for the first.

        Raises LogStoreUnavailable.
        """
        streams: Any = {key_of(turn_id): f"{epoch}-{seq}" for turn_id, (epoch, seq) in cursors.items()}
        with _translate_unavailable():
            found: Any = await self._tail.xread(streams, block=max(1, round(wait * 1000)))
        return {turn_id_of(key): [decode_item(*item) for item in items] for key, items in found or ()}

    async def ping(self) -> None:
        """Return if Redis accepts writes; raises LogStoreUnavailable."""
        with _translate_unavailable():
            await ping(self._client)

    async def erase(self, turn_id: UUID, epoch: int) -> None:
        """Replace a log by a seal, so that its runner can append no more; raises LogStoreUnavailable."""
        pipeline = self._client.pipeline(transaction=True)
        pipeline.delete(key_of(turn_id))
        pipeline.execute_command("XADD", key_of(turn_id), f"{epoch}-{SEAL_SEQ}", END, b"0")
        pipeline.expire(key_of(turn_id), LIFETIME)
        with _translate_unavailable():
            await pipeline.execute()

    async def mark_read(self, turn_ids: Collection[UUID], seconds: float) -> None:
        """Mark turns as having readers for some seconds; raises LogStoreUnavailable."""
        pipeline = self._client.pipeline(transaction=False)
        for turn_id in turn_ids:
            pipeline.set(_readers_key(turn_id), 1, px=round(seconds * 1000))
        with _translate_unavailable():
            await pipeline.execute()

    async def is_read(self, turn_id: UUID) -> bool:
        """Tell whether a turn is marked as having readers; raises LogStoreUnavailable."""
        with _translate_unavailable():
            return bool(await self._client.exists(_readers_key(turn_id)))

    async def publish_cancellation(self, turn_id: UUID) -> None:
        """Notify all replicas of a cancellation, if Redis answers."""
        with contextlib.suppress(*REDIS_UNAVAILABLE):
            await self._client.publish(CANCEL_CHANNEL, str(turn_id))

    async def cancellations(self) -> AsyncGenerator[UUID, None]:
        """Yield the turns whose cancellation is published; raises LogStoreUnavailable."""
        with _translate_unavailable():
            async with self._client.pubsub(ignore_subscribe_messages=True) as subscription:
                await subscription.subscribe(CANCEL_CHANNEL)
                early_ends = EarlyEnds(SUBSCRIBE_TIMEOUT)
                while True:
                    early_ends.start()
                    message = await subscription.get_message(timeout=SUBSCRIBE_TIMEOUT)
                    if message is None:
                        await early_ends.no_result()
                    else:
                        yield UUID(message["data"].decode())


def _readers_key(turn_id: UUID) -> str:
    return f"{key_of(turn_id)}:read"


@contextlib.contextmanager
def _translate_unavailable() -> Iterator[None]:
    try:
        yield
    except REDIS_UNAVAILABLE as error:
        raise LogStoreUnavailable from error
