"""One connection to Redis for the short commands of many requests: those that come together share a round trip."""

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError

from parley.storage.redis import REDIS_UNAVAILABLE, RedisClient, ResponseError
from parley.storage.redis_internals import RawConnection, pack

MAX_COMMANDS = 128
"""Commands in one round trip."""
MAX_WAITING = 10_000
"""Commands that wait for the round trip before theirs."""

_Command = tuple[bytes, "asyncio.Future[Any]"]


class RedisChannel:
    """Sends commands over a connection of its own.

    A call of the pooled client costs a connection of the pool, a write and a read for each command. Here, what arrives
    while a round trip is under way goes into the next one.
    """

    def __init__(self, client: RedisClient, *, timeout: float) -> None:
        """Take the connection from ``client``; ``timeout`` is the limit of one round trip in seconds."""
        self._connection = RawConnection(client, timeout=timeout)
        self._waiting: list[_Command] = []
        self._sender: asyncio.Task[None] | None = None

    async def execute(self, *words: Any) -> Any:
        """Send a command and return its reply; raise ResponseError, or one of ``REDIS_UNAVAILABLE``."""
        if len(self._waiting) >= MAX_WAITING:
            raise RedisConnectionError("Too many commands wait for Redis.")
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[Any] = loop.create_future()
        self._waiting.append((pack(*words), reply))
        if self._sender is None:
            self._sender = loop.create_task(self._send(), name="redis channel")
        return await reply

    async def _send(self) -> None:
        """Send what waits until nothing waits any more. The commands behind a failed round trip fail with it."""
        batch: list[_Command] = []
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MAX_COMMANDS], self._waiting[MAX_COMMANDS:]
                _resolve(batch, await self._connection.call([command for command, _ in batch]))
        except REDIS_UNAVAILABLE as error:
            for _, reply in batch + self._take_waiting():
                if not reply.done():
                    reply.set_exception(error)
        finally:
            self._sender = None
            for _, reply in batch + self._take_waiting():
                reply.cancel()

    def _take_waiting(self) -> list[_Command]:
        waiting, self._waiting = self._waiting, []
        return waiting


def _resolve(batch: Sequence[_Command], replies: Sequence[Any]) -> None:
    for (_, waiter), reply in zip(batch, replies, strict=True):
        if waiter.done():
            continue
        if isinstance(reply, ResponseError):
            waiter.set_exception(reply)
        else:
            waiter.set_result(reply)
