"""Lua scripts, with a fake server that can lose them."""

from parley.storage.redis import open_redis
from parley.storage.redis_channel import RedisChannel
from parley.storage.redis_script import LuaScript
from parley_testing.fakes.redis_server import Reply, fake_redis_server


class ScriptCache:
    """Answers EVALSHA only while the script is loaded."""

    def __init__(self) -> None:
        self.loaded = False

    def __call__(self, command: list[bytes]) -> Reply:
        if command[0] == b"SCRIPT":
            self.loaded = True
            return b"digest"
        return list(command[1:]) if self.loaded else ValueError("NOSCRIPT No matching script")


async def test_a_script_is_loaded_once_and_called_by_its_digest() -> None:
    async with fake_redis_server(ScriptCache()) as server, open_redis(server.url, timeout=30) as client:
        script = LuaScript(RedisChannel(client, timeout=30).execute, "return KEYS")
        for _ in range(3):
            assert await script.run(["key"], 7) == [b"digest", b"1", b"key", b"7"]
        assert server.count(b"SCRIPT") == 1


async def test_a_script_that_redis_has_lost_is_loaded_again() -> None:
    cache = ScriptCache()
    async with fake_redis_server(cache) as server, open_redis(server.url, timeout=30) as client:
        script = LuaScript(RedisChannel(client, timeout=30).execute, "return KEYS")
        await script.run([])
        cache.loaded = False
        await script.run([])
        assert server.count(b"SCRIPT") == 2
