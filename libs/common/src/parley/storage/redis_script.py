"""Lua scripts, called by digest and loaded on demand."""

from collections.abc import Sequence
from typing import Any

from parley.storage.redis import ResponseError
from parley.storage.redis_channel import RedisChannel


class LuaScript:
    """A Lua script in one Redis; it is loaded again when Redis has lost it."""

    def __init__(self, channel: RedisChannel, source: str) -> None:
        self._channel, self._source, self._digest = channel, source, b""

    async def run(self, keys: Sequence[str], *arguments: Any) -> Any:
        """Return the reply of the script; raise what the channel raises."""
        if self._digest:
            try:
                return await self._evaluate(keys, arguments)
            except ResponseError as error:
                if not str(error).startswith("NOSCRIPT"):
                    raise
        self._digest = await self._channel.execute("SCRIPT", "LOAD", self._source)
        return await self._evaluate(keys, arguments)

    async def _evaluate(self, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        return await self._channel.execute("EVALSHA", self._digest, len(keys), *keys, *arguments)
