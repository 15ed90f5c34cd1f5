"""Places for streams, counted over all gateway processes: leases in Redis, renewed while a stream is open."""

import asyncio
import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from parley.ids import new_id
from parley.process.timeouts import lag_tolerant_timeout
from parley.storage.redis import REDIS_UNAVAILABLE, RedisClient
from parley.storage.redis_internals import execute
from parley.storage.redis_script import LuaScript

LEASE = 15
"""Seconds after which a place of a process that died is free again."""
RENEW = 5.0
TIMEOUT = 0.05
PORTION = 100
Item = TypeVar("Item")

TAKE = """
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then
  return 0
end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[3] * 2)
return 1
"""


class Places:
    """Takes and gives back places; without Redis every process counts for itself."""

    def __init__(self, redis: RedisClient, *, timeout: float = TIMEOUT) -> None:
        """Take a client, and the seconds it may take."""
        self._timeout = timeout
        self._redis = redis
        self._take = LuaScript(redis, TAKE)
        self._held: dict[str, str] = {}
        self._away_until = 0.0

    async def take(self, user: str, most: int) -> str | None:
        """Return a token for a place of the user, None when all are taken."""
        token = str(new_id())
        taken = await self._try(self._take.run([_key(user)], token, most, LEASE))
        if taken == 0:
            return None
        self._held[token] = user
        return token

    async def give(self, token: str) -> None:
        """Give a place back."""
        user = self._held.pop(token, None)
        if user is not None:
            await self._try(execute(self._redis, "ZREM", _key(user), token))

    async def renew(self) -> None:
        """Renew the leases of all places held here, for ever."""
        while True:
            held = list(self._held.items())
            for some in portions(held):
                await self._try(self._renew([pair for pair in some if pair[0] in self._held]), timeout=RENEW)
                await asyncio.sleep(RENEW * len(some) / len(held))
            if not held:
                await asyncio.sleep(RENEW)

    async def _renew(self, some: Sequence[tuple[str, str]]) -> None:
        until = int(time.time()) + LEASE
        async with self._redis.pipeline(transaction=False) as pipeline:
            for token, user in some:
                pipeline.zadd(_key(user), {token: until})
                pipeline.expire(_key(user), LEASE * 2)
            await pipeline.execute()

    async def _try(self, asking: Any, *, timeout: float | None = None) -> Any:
        """Return what Redis says, None when it is away; then it is not asked again for a second."""
        if time.monotonic() < self._away_until:
            asking.close()
            return None
        with contextlib.suppress(*REDIS_UNAVAILABLE):
            async with lag_tolerant_timeout(timeout or self._timeout):
                return await asking
        self._away_until = time.monotonic() + 1
        return None


def portions(everything: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Return so much at a time as does not hold up the streams in between."""
    for start in range(0, len(everything), PORTION):
        yield everything[start : start + PORTION]


def _key(user: str) -> str:
    return f"parley:streams:{user}"
