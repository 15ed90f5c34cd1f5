"""Response cache index in Redis: the digest of a request and the id of the turn that answered it."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from parley.errors import DependencyUnavailable
from parley.process.timeouts import lag_tolerant_timeout
from parley.storage.redis import REDIS_UNAVAILABLE, SOCKET_TIMEOUT, RedisClient

FORMAT_PREFIX = b"1:"
"""Format version. Values of another version count as a miss."""


class RedisResponseIndex:
    """Cache index whose entries expire."""

    def __init__(self, client: RedisClient, *, ttl: int, timeout: float = SOCKET_TIMEOUT) -> None:
        """Set the time to live of entries and the time limit of a call, both in seconds. Later is a miss."""
        self._client, self._ttl, self._timeout = client, ttl, timeout

    async def find(self, digest: bytes) -> UUID | None:
        """Return the turn of a digest, or None; raises DependencyUnavailable."""
        async with _time_limit(self._timeout):
            stored: Any = await self._client.get(_key(digest))
        return _read(stored) if stored else None

    async def save(self, digest: bytes, turn_id: UUID) -> None:
        """Store the turn of a digest; raises DependencyUnavailable."""
        async with _time_limit(self._timeout):
            await self._client.set(_key(digest), FORMAT_PREFIX + turn_id.bytes, ex=self._ttl)


def _key(digest: bytes) -> bytes:
    return b"parley:answer:" + digest.hex().encode()


def _read(stored: bytes) -> UUID | None:
    if not stored.startswith(FORMAT_PREFIX):
        return None
    try:
        return UUID(bytes=stored.removeprefix(FORMAT_PREFIX))
    except ValueError:
        return None


@contextlib.asynccontextmanager
async def _time_limit(timeout: float) -> AsyncIterator[None]:
    try:
        async with lag_tolerant_timeout(timeout):
            yield
    except REDIS_UNAVAILABLE as error:
        raise DependencyUnavailable from error
