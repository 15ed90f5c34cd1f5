"""The channel of many requests to Redis: shared round trips, and their errors."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from parley.process import batcher
from parley.process.batcher import MAX_BATCH_SIZE
from parley.storage.redis import REDIS_UNAVAILABLE, ResponseError, open_redis
from parley.storage.redis_channel import RedisChannel
from parley.storage.redis_internals import RawConnection
from parley_testing import eventually
from parley_testing.fakes.redis_server import FakeRedisServer, Reply, fake_redis_server

NO_TIMEOUT = 30


def echo(command: list[bytes]) -> Reply:
    if command[0] == b"FAIL":
        return ValueError("ERR refused")
    return command[-1]


@pytest.fixture
async def server() -> AsyncIterator[FakeRedisServer]:
    async with fake_redis_server(echo) as found:
        yield found


@pytest.fixture
async def channel(server: FakeRedisServer) -> AsyncIterator[RedisChannel]:
    async with open_redis(server.url) as client:
        yield RedisChannel(client, timeout=NO_TIMEOUT)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of commands in each round trip."""
    sizes: list[int] = []
    call = RawConnection.call

    async def recorded(self: RawConnection, commands: list[bytes]) -> list[object]:
        sizes.append(len(commands))
        return await call(self, commands)

    monkeypatch.setattr(RawConnection, "call", recorded)
    return sizes


async def test_commands_that_come_together_share_a_round_trip(channel: RedisChannel, calls: list[int]) -> None:
    many = MAX_BATCH_SIZE + 1
    replies = await asyncio.gather(*(channel.execute("ECHO", n) for n in range(many)))
    assert replies == [b"%d" % n for n in range(many)]
    assert calls == [MAX_BATCH_SIZE, 1]


async def test_commands_during_a_round_trip_wait_for_the_next_one(
    channel: RedisChannel, server: FakeRedisServer, calls: list[int]
) -> None:
    with server.frozen():
        first = asyncio.create_task(channel.execute("ECHO", "first"))
        await eventually(lambda: server.count(b"ECHO") == 1)
        others = [asyncio.create_task(channel.execute("ECHO", n)) for n in range(2)]
    assert [await task for task in (first, *others)] == [b"first", b"0", b"1"]
    assert calls == [1, 2]


async def test_an_error_reply_is_that_of_its_command_alone(channel: RedisChannel) -> None:
    replies = await asyncio.gather(channel.execute("ECHO", 1), channel.execute("FAIL"), return_exceptions=True)
    assert replies[0] == b"1"
    assert isinstance(replies[1], ResponseError)


async def test_a_cancelled_command_does_not_disturb_the_others(channel: RedisChannel, server: FakeRedisServer) -> None:
    with server.frozen():
        tasks = [asyncio.create_task(channel.execute("ECHO", n)) for n in range(2)]
        await eventually(lambda: server.count(b"ECHO") == 1)
        tasks[0].cancel()
        await asyncio.wait({tasks[0]})
    assert await tasks[1] == b"1"


async def test_a_lost_connection_fails_what_waits_and_the_next_command_connects_again(
    channel: RedisChannel, server: FakeRedisServer
) -> None:
    with server.frozen():
        first = asyncio.create_task(channel.execute("ECHO", "first"))
        await eventually(lambda: server.count(b"ECHO") == 1)
        second = asyncio.create_task(channel.execute("ECHO", "second"))
        await asyncio.sleep(0)
        server.disconnect_clients()
        for task in (first, second):
            with pytest.raises(REDIS_UNAVAILABLE):
                await task
    assert await channel.execute("ECHO", "again") == b"again"


async def test_a_frozen_server_costs_the_time_limit_once(server: FakeRedisServer) -> None:
    async with open_redis(server.url, timeout=NO_TIMEOUT) as client:
        channel = RedisChannel(client, timeout=0.2)
        assert await channel.execute("ECHO", "a") == b"a"
        with server.frozen():
            replies = await asyncio.gather(*(channel.execute("ECHO", n) for n in range(3)), return_exceptions=True)
        assert [type(reply) for reply in replies] == [TimeoutError] * 3
        assert await channel.execute("ECHO", "b") == b"b"


async def test_more_commands_than_may_wait_are_refused(
    channel: RedisChannel, server: FakeRedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batcher, "MAX_WAITING", 1)
    with server.frozen():
        first = asyncio.create_task(channel.execute("ECHO", "first"))
        await eventually(lambda: server.count(b"ECHO") == 1)
        second = asyncio.create_task(channel.execute("ECHO", "second"))
        await asyncio.sleep(0)
        with pytest.raises(REDIS_UNAVAILABLE, match="Too many"):
            await channel.execute("ECHO", "third")
    assert [await task for task in (first, second)] == [b"first", b"second"]
