"""Undocumented names of redis-py; these tests fail when a new version changes one of them."""

import asyncio
import inspect

import pytest
from redis.asyncio.connection import AbstractConnection, BlockingConnectionPool

from parley.storage.redis import REDIS_UNAVAILABLE, ResponseError, open_redis
from parley.storage.redis_internals import RawConnection, pack
from parley_testing import eventually
from parley_testing.fakes.redis_server import FakeRedisServer, Reply, fake_redis_server

NO_TIMEOUT = 30


def echo(command: list[bytes]) -> Reply:
    if command[0] == b"FAIL":
        return ValueError("ERR refused")
    return command[-1]


def test_redis_py_still_has_the_undocumented_methods() -> None:
    send = inspect.signature(AbstractConnection.send_packed_command)
    assert list(send.parameters)[:3] == ["self", "command", "check_health"]
    assert "nowait" in inspect.signature(AbstractConnection.disconnect).parameters
    for coroutine in (
        AbstractConnection.read_response,
        BlockingConnectionPool.get_connection,
        BlockingConnectionPool.release,
    ):
        assert inspect.iscoroutinefunction(coroutine)


async def test_a_raw_connection_sends_many_commands_at_once_and_returns_error_replies() -> None:
    async with fake_redis_server(echo) as server, open_redis(server.url, timeout=None) as client:
        connection = RawConnection(client, timeout=NO_TIMEOUT)
        replies = await connection.call([pack("ECHO", "a"), pack("FAIL"), pack("ECHO", 7)])
        assert replies[::2] == [b"a", b"7"]
        assert isinstance(replies[1], ResponseError)


async def test_a_raw_connection_is_replaced_after_the_server_closed_it() -> None:
    async with fake_redis_server(echo) as server, open_redis(server.url, timeout=None) as client:
        connection = RawConnection(client, timeout=NO_TIMEOUT)
        assert await connection.call([pack("ECHO", "a")]) == [b"a"]
        waiting = await _lose_connection(server, connection)
        with pytest.raises(REDIS_UNAVAILABLE):
            await waiting
        assert await connection.call([pack("ECHO", "b")]) == [b"b"]


async def _lose_connection(server: FakeRedisServer, connection: RawConnection) -> "asyncio.Task[list[object]]":
    with server.frozen():
        before = len(server.commands)
        waiting = asyncio.create_task(connection.call([pack("ECHO", "lost")]))
        await eventually(lambda: len(server.commands) > before)
        server.disconnect_clients()
        await asyncio.wait({waiting})
    return waiting


async def test_a_raw_connection_gives_up_on_a_frozen_server_and_reconnects() -> None:
    async with fake_redis_server(echo) as server, open_redis(server.url, timeout=None) as client:
        connection = RawConnection(client, timeout=1)
        assert await connection.call([pack("ECHO", "a")]) == [b"a"]
        with server.frozen(), pytest.raises(TimeoutError):
            await connection.call([pack("ECHO", "lost")])
        assert await connection.call([pack("ECHO", "b")]) == [b"b"]


@pytest.mark.parametrize("notes_loss", [True, False])
async def test_a_connection_that_is_lost_between_two_calls_is_noted_once_or_not(*, notes_loss: bool) -> None:
    async with fake_redis_server(echo) as server, open_redis(server.url, timeout=None) as client:
        connection = RawConnection(client, timeout=NO_TIMEOUT, notes_loss=notes_loss)
        assert await connection.call([pack("ECHO", "a")]) == [b"a"]
        server.disconnect_clients()
        await eventually(lambda: connection._protocol is None or connection._protocol.closed)
        if notes_loss:
            with pytest.raises(REDIS_UNAVAILABLE):
                await connection.call([pack("ECHO", "b")])
        assert await connection.call([pack("ECHO", "c")]) == [b"c"]


async def test_a_loss_that_failed_a_call_is_not_noted_again() -> None:
    async with fake_redis_server(echo) as server, open_redis(server.url, timeout=None) as client:
        connection = RawConnection(client, timeout=NO_TIMEOUT, notes_loss=True)
        waiting = await _lose_connection(server, connection)
        with pytest.raises(REDIS_UNAVAILABLE):
            await waiting
        assert await connection.call([pack("ECHO", "b")]) == [b"b"]
