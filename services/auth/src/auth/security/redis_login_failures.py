"""Failed login counts in Redis, shared by all replicas."""

from collections.abc import Sequence

from auth.security.login_failures import FailureCount
from parley.errors import DependencyUnavailable
from parley.storage.redis import REDIS_UNAVAILABLE, RedisClient

_READ = """
local now = redis.call('TIME')
local found = {}
for i, key in ipairs(KEYS) do
    local row = redis.call('HMGET', key, 'count', 'last')
    found[2 * i - 1] = tonumber(row[1] or 0)
    found[2 * i] = math.floor((now[1] + now[2] / 1000000 - tonumber(row[2] or 0)) * 1000)
end
return found
"""
_ADD = """
local now = redis.call('TIME')
for _, key in ipairs(KEYS) do
    redis.call('HINCRBY', key, 'count', 1)
    redis.call('HSET', key, 'last', string.format('%.6f', now[1] + now[2] / 1000000))
    redis.call('EXPIRE', key, ARGV[1])
end
"""


class RedisFailureCounter:
    """Counts failed logins by the clock of Redis; raises DependencyUnavailable."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self._read, self._add = client.register_script(_READ), client.register_script(_ADD)

    async def read(self, keys: Sequence[str]) -> list[FailureCount]:
        try:
            found = await self._read(keys=list(keys))
        except REDIS_UNAVAILABLE as error:
            raise DependencyUnavailable from error
        return [FailureCount(int(count), int(age) / 1000) for count, age in zip(found[::2], found[1::2], strict=True)]

    async def add(self, keys: Sequence[str], window: int) -> None:
        try:
            await self._add(keys=list(keys), args=[window])
        except REDIS_UNAVAILABLE as error:
            raise DependencyUnavailable from error

    async def clear(self, key: str) -> None:
        try:
            await self._client.delete(key)
        except REDIS_UNAVAILABLE as error:
            raise DependencyUnavailable from error
