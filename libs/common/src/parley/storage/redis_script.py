"""Lua scripts and single commands, past the client's own layers, which cost several times what the call itself does."""

from collections.abc import Awaitable, Sequence
from typing import Any

import hiredis

from parley.storage.redis import NoScriptError, RedisClient, ResponseError

__all__ = ["LuaScript", "execute"]


async def execute(client: RedisClient, *words: Any) -> Any:
    """Send one command and return its reply; raises what the client raises."""
    pool = client.connection_pool
    connection = await _awaited(pool.get_connection())  # type: ignore[no-untyped-call]
    try:
        await connection.send_packed_command([hiredis.pack_command(words)], check_health=False)
        return await connection.read_response()
    except ResponseError:
        raise
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
    finally:
        await pool.release(connection)


class LuaScript:
    """A script in one Redis, loaded when it is not there."""

    def __init__(self, client: RedisClient, source: str) -> None:
        """Take a client, and what the script says."""
        self._client, self._source, self._digest = client, source, ""

    async def run(self, keys: Sequence[str], *arguments: Any) -> Any:
        """Return what the script says; raises what the client raises."""
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
    return await found
