"""Lua scripts, called by digest and loaded on demand."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from parley.storage.redis import ResponseError

Execute = Callable[..., Awaitable[Any]]
"""Sends a command, given as its words, and returns the reply."""


class LuaScript:
    """A Lua script in one Redis; it is loaded again when Redis has lost it."""

    def __init__(self, execute: Execute, source: str) -> None:
        self._execute, self._source, self._digest = execute, source, b""

    async def run(self, keys: Sequence[str], *arguments: Any) -> Any:
        """Return the reply of the script; raise what ``execute`` raises."""
        if self._digest:
            try:
                return await self._evaluate(keys, arguments)
            except ResponseError as error:
                if not str(error).startswith("NOSCRIPT"):
                    raise
        self._digest = await self._execute("SCRIPT", "LOAD", self._source)
        return await self._evaluate(keys, arguments)

    async def _evaluate(self, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        return await self._execute("EVALSHA", self._digest, len(keys), *keys, *arguments)
