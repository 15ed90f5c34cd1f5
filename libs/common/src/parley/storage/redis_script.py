"""Lua scripts, called by digest and loaded on demand."""

from collections.abc import Awaitable, Sequence
from typing import Any

from parley.storage.redis import NoScriptError, RedisClient
from parley.storage.redis_internals import execute


class LuaScript:
    """A Lua script in one Redis; it is loaded again when Redis has lost it."""

    def __init__(self, client: RedisClient, source: str) -> None:
        self._client, self._source, self._digest = client, source, ""

    async def run(self, keys: Sequence[str], *arguments: Any) -> Any:
        """Return the reply of the script; raise what the client raises."""
        try:
            if self._digest:
                return await self._evaluate(keys, arguments)
        except NoScriptError:
            pass
        self._digest = await _awaited(self._client.script_load(self._source))
        return await self._evaluate(keys, arguments)

    async def _evaluate(self, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        return await execute(self._client, "EVALSHA", self._digest, len(keys), *keys, *arguments)


async def _awaited(found: Awaitable[Any] | Any) -> Any:
    # redis-py types its commands as "awaitable or value".
    return await found
