"""Which turn answered a question, in Redis: a digest, and the turn's id, for as long as answers are used again."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from parley.errors import DependencyUnavailable
from parley.process.timeouts import lag_tolerant_timeout
from parley.storage.redis import REDIS_UNAVAILABLE, RedisClient

TIMEOUT = 0.1
"""Seconds that a question may wait before the provider is asked as if there were no cache."""
FORM = b"1:"
"""How what is stored begins. Something else is another version's, and as good as nothing."""


class RedisResponseIndex:
    """The AnswerIndex; what it notes ends by itself."""

    def __init__(self, client: RedisClient, *, ttl: int) -> None:
        """Take for how many seconds an answer is used again."""
        self._client, self._ttl = client, ttl

    async def find(self, question: bytes) -> UUID | None:
        """Return the turn that was noted for a question; raises DependencyUnavailable."""
        async with _in_time():
            stored: Any = await self._client.get(_key(question))
        return _read(stored) if stored else None

    async def save(self, question: bytes, turn_id: UUID) -> None:
        """Note the turn that answered a question; raises DependencyUnavailable."""
        async with _in_time():
            await self._client.set(_key(question), FORM + turn_id.bytes, ex=self._ttl)


def _key(question: bytes) -> bytes:
    return b"parley:answer:" + question.hex().encode()


def _read(stored: bytes) -> UUID | None:
    if not stored.startswith(FORM):
        return None
    try:
        return UUID(bytes=stored.removeprefix(FORM))
    except ValueError:
        return None


@contextlib.asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    try:
        async with lag_tolerant_timeout(TIMEOUT):
            yield
    except REDIS_UNAVAILABLE as error:
        raise DependencyUnavailable from error
