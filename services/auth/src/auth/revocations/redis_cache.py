"""What auth keeps in Redis: counts of failed log-ins, and the copy of the revocations that gateways read."""

import math
import time
from collections.abc import Sequence

from auth.model import Revocation
from auth.security.login_failures import Failures
from parley.errors import DependencyUnavailable
from parley.storage.redis import REDIS_UNAVAILABLE, RedisClient

MARKER = "parley:revocations"
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


class RedisFailureCounts:
    """Counts that all replicas share, by Redis's clock."""

    def __init__(self, client: RedisClient) -> None:
        """Take the client."""
        self._client = client
        self._read, self._add = client.register_script(_READ), client.register_script(_ADD)

    async def read(self, keys: Sequence[str]) -> list[Failures]:
        """Return the counts; raises DependencyUnavailable."""
        try:
            found = await self._read(keys=list(keys))
        except REDIS_UNAVAILABLE as error:
            raise DependencyUnavailable from error
        return [Failures(int(count), int(age) / 1000) for count, age in zip(found[::2], found[1::2], strict=True)]

    async def add(self, keys: Sequence[str], window: int) -> None:
        """Count one more for each key."""
        try:
            await self._add(keys=list(keys), args=[window])
        except REDIS_UNAVAILABLE as error:
            raise DependencyUnavailable from error

    async def clear(self, key: str) -> None:
        """Forget a key."""
        try:
            await self._client.delete(key)
        except REDIS_UNAVAILABLE as error:
            raise DependencyUnavailable from error


class RedisRevocationMirror:
    """Copies revocations to where gateways read them; raises what ``parley.storage.redis.UNAVAILABLE`` names."""

    def __init__(self, client: RedisClient) -> None:
        """Take the client."""
        self._client = client

    async def instance(self) -> str | None:
        """Return the id of the running Redis; None when the marker is gone, so copies were lost."""
        pipeline = self._client.pipeline(transaction=False)
        pipeline.exists(MARKER)
        pipeline.info("server")
        marked, server = await pipeline.execute()
        return str(server["run_id"]) if marked else None

    async def write(self, revocations: Sequence[Revocation]) -> None:
        """Copy them, to expire when no token can live that they are about."""
        pipeline = self._client.pipeline(transaction=False)
        for revocation in revocations:
            seconds = math.ceil(revocation.expires_at.timestamp() - time.time())
            if seconds > 0:
                pipeline.set(_key(revocation), revocation.not_before, ex=seconds)
        if len(pipeline):
            await pipeline.execute()

    async def complete(self) -> None:
        """Say that all live ones were copied."""
        await self._client.set(MARKER, "1")


def _key(revocation: Revocation) -> str:
    prefix = "parley:revoked" if revocation.kind == "session" else "parley:revoked-user"
    return f"{prefix}:{revocation.subject}"
