"""Stream leases: the open streams of a user over all processes, as leases in Redis that expire by themselves."""

import contextlib
from collections.abc import Coroutine, Sequence
from typing import Any

from gateway.spread_work import spread_over
from parley.ids import new_id
from parley.process.outage_pause import OutagePause
from parley.process.timeouts import lag_tolerant_timeout
from parley.storage.redis import REDIS_UNAVAILABLE, RedisClient
from parley.storage.redis_channel import RedisChannel
from parley.storage.redis_script import LuaScript

LEASE_DURATION = 15
"""Seconds after which the leases of a dead process expire."""
RENEW_INTERVAL = 5.0
TIMEOUT = 0.05
OUTAGE_PAUSE = 1.0
"""Seconds without calls to Redis after a failed one."""

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


class StreamLeases:
    """The leases held by this process. While Redis is unavailable, every process enforces the limit alone."""

    def __init__(self, redis: RedisClient, *, timeout: float = TIMEOUT) -> None:
        """``timeout`` limits each round trip to Redis, in seconds."""
        self._redis, self._channel = redis, RedisChannel(redis, timeout=timeout)
        self._take = LuaScript(self._channel.execute, TAKE)
        self._held: dict[str, str] = {}
        self._pause = OutagePause(OUTAGE_PAUSE)

    async def acquire(self, user: str, limit: int) -> str | None:
        """Return the token of a new lease, or None when the user holds ``limit`` leases already."""
        token = str(new_id())
        taken = await self._try(self._take.run([_key(user)], token, limit, LEASE_DURATION))
        if taken == 0:
            return None
        self._held[token] = user
        return token

    async def release(self, token: str) -> None:
        """Release a lease."""
        user = self._held.pop(token, None)
        if user is not None:
            await self._try(self._channel.execute("ZREM", _key(user), token))

    async def keep_renewed(self) -> None:
        """Renew all leases of this process. Runs forever."""
        while True:
            async for batch in spread_over(RENEW_INTERVAL, list(self._held.items())):
                held = [(token, user) for token, user in batch if token in self._held]
                await self._try(self._renew(held))

    async def _renew(self, leases: Sequence[tuple[str, str]]) -> None:
        async with lag_tolerant_timeout(RENEW_INTERVAL):
            seconds, _ = await self._redis.time()  # every process uses this clock, as TAKE does
            until = seconds + LEASE_DURATION
            async with self._redis.pipeline(transaction=False) as pipeline:
                for token, user in leases:
                    pipeline.zadd(_key(user), {token: until})
                    pipeline.expire(_key(user), LEASE_DURATION * 2)
                await pipeline.execute()
            for token, user in leases:
                if token not in self._held:  # released meanwhile, perhaps before it was renewed
                    await self._redis.zrem(_key(user), token)

    async def _try(self, operation: Coroutine[Any, Any, Any]) -> Any:
        """Return the result of a Redis call, or None while Redis is unavailable."""
        if not self._pause.is_over:
            operation.close()
            return None
        with contextlib.suppress(*REDIS_UNAVAILABLE):
            return await operation
        self._pause.begin()
        return None


def _key(user: str) -> str:
    return f"parley:streams:{user}"
