"""One connection to Redis for the short commands of many requests. Commands that come together share a round trip."""

import asyncio
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError

from parley.process.batcher import Batcher
from parley.storage.redis import REDIS_UNAVAILABLE, RedisClient
from parley.storage.redis_internals import RawConnection, pack

_Command = tuple[bytes, "asyncio.Future[Any]"]


class RedisChannel:
    """Sends commands over a connection of its own.

    A call of the pooled client costs a connection of the pool, a write and a read for each command. Here, what arrives
    while a round trip is under way goes into the next one.
    """

    def __init__(self, client: RedisClient, *, timeout: float) -> None:
        """Take the connection from ``client``; ``timeout`` is the limit of one round trip in seconds."""
        self._connection = RawConnection(client, timeout=timeout)
        self._batcher = Batcher(self._send)

    async def execute(self, *words: Any) -> Any:
        """Send a command and return its reply; raise ResponseError, or one of ``REDIS_UNAVAILABLE``."""
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if not self._batcher.add((pack(*words), reply)):
            raise RedisConnectionError("Too many commands wait for Redis.")
        return await reply

    async def _send(self, batch: list[_Command]) -> None:
        """Send a batch. If the round trip fails, the commands that wait fail with it."""
        try:
            replies = await self._connection.call([command for command, _ in batch])
        except REDIS_UNAVAILABLE as error:
            batch = batch + self._batcher.take_waiting()
            replies = [error] * len(batch)
        except BaseException:
            for _, waiter in batch:
                waiter.cancel()
            raise
        for (_, waiter), reply in zip(batch, replies, strict=True):
            if waiter.done():  # its caller was cancelled
                continue
            if isinstance(reply, Exception):
                waiter.set_exception(reply)
            else:
                waiter.set_result(reply)
