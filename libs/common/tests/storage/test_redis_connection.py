"""Connections to Redis that are lost, reset, or refused by the server."""

import asyncio
import errno
import inspect
import socket
from collections.abc import Callable

import pytest
import uvloop
from redis.asyncio.connection import AbstractConnection, UnixDomainSocketConnection

from parley.process.sockets import PEER_TIMEOUT
from parley.storage.redis import REDIS_UNAVAILABLE, RedisClient, ResponseError, open_redis
from parley.storage.redis_connection import CONNECTION_CLASSES, ServerRefused, refusal_of
from parley.storage.redis_internals import RawConnection, pack
from parley_testing import eventually
from parley_testing.fakes.redis_server import Reply, fake_redis_server

NO_TIMEOUT = 30
POOLED = 8
REFUSALS = (
    "READONLY You can't write against a read only replica.",
    "READONLY You can't write against a read only replica. script: 1a2b, on @user_script:3.",
    "ERR Error running script (call to f_1a2b): @user_script:3: -READONLY You can't write against a read only replica.",
    "LOADING Redis is loading the dataset in memory",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "CLUSTERDOWN The cluster is down",
    "MOVED 3999 127.0.0.1:6381",
    "ASK 3999 127.0.0.1:6381",
    "CROSSSLOT Keys in request don't hash to the same slot",
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "NOREPLICAS Not enough good replicas to write.",
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
    "OOM command not allowed when used memory > 'maxmemory'.",
    "BUSY Redis is busy running a script.",
    "NOAUTH Authentication required.",
)


def echo(command: list[bytes]) -> Reply:
    return command[-1]


async def open_connections(client: RedisClient, count: int = POOLED) -> list[AbstractConnection]:
    """Return connections that were all in use at the same time, and are now idle."""
    pool = client.connection_pool
    found = [await pool.get_connection() for _ in range(count)]  # type: ignore[no-untyped-call]
    for connection in found:
        await pool.release(connection)
    return found


def test_redis_py_still_has_the_overridden_methods() -> None:
    for name in ("_connect", "can_read", "send_packed_command", "_read_response_from_parser"):
        assert inspect.iscoroutinefunction(getattr(AbstractConnection, name)), name
        assert name in inspect.getsource(AbstractConnection) + inspect.getsource(UnixDomainSocketConnection)
    assert all(issubclass(own, theirs) for theirs, own in CONNECTION_CLASSES.items())


async def test_a_subscription_whose_host_is_lost_fails_instead_of_waiting_for_ever_without_a_pause() -> None:
    async with (
        fake_redis_server(echo) as server,
        open_redis(server.url, timeout=NO_TIMEOUT) as client,
        client.pubsub(ignore_subscribe_messages=True) as subscription,
    ):
        await subscription.subscribe("channel")
        assert await subscription.get_message(timeout=0.01) is None, "silence is not a failure"
        # What the event loop does when the kernel reports that keepalive probes were lost.
        subscription.connection._reader.set_exception(OSError(errno.ETIMEDOUT, "Connection timed out"))
        with pytest.raises(REDIS_UNAVAILABLE):
            await subscription.get_message(timeout=NO_TIMEOUT)


async def all_calls_succeed_after_a_reset() -> None:
    async with fake_redis_server(echo) as server, open_redis(server.url, timeout=NO_TIMEOUT) as client:
        idle = await open_connections(client)
        server.reset_clients()
        await eventually(lambda: all(c._reader is not None and c._reader.exception() for c in idle))
        assert await asyncio.gather(*(client.echo(1) for _ in range(POOLED))) == [b"1"] * POOLED


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_idle_connections_that_were_reset_are_replaced(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(all_calls_succeed_after_a_reset())


async def send_and_read(connection: AbstractConnection) -> None:
    await connection.send_packed_command([pack("ECHO", "a")], check_health=False)
    await connection.read_response()


async def write_to_a_closed_transport() -> None:
    async with fake_redis_server(echo) as server, open_redis(server.url, timeout=NO_TIMEOUT) as client:
        connection = (await open_connections(client))[0]
        server.reset_clients()
        writer = connection._writer
        assert writer is not None
        await eventually(writer.transport.is_closing)
        with pytest.raises(REDIS_UNAVAILABLE):
            await send_and_read(connection)


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_command_on_a_closed_transport_counts_as_an_unavailable_redis(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(write_to_a_closed_transport())


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_a_server_that_cannot_serve_is_unavailable_and_its_connection_is_discarded(refusal: str) -> None:
    replies: list[Reply] = [ResponseError(refusal), "OK"]

    async with (
        fake_redis_server(lambda _: replies.pop(0)) as server,
        open_redis(server.url, timeout=NO_TIMEOUT, max_connections=1) as client,
    ):
        connection = (await open_connections(client, 1))[0]
        with pytest.raises(REDIS_UNAVAILABLE) as caught:
            await client.set("key", 1)
        assert not isinstance(caught.value, ResponseError)
        assert not connection.is_connected
        assert await client.set("key", 1)


async def test_a_refused_pipeline_is_unavailable_and_its_connection_is_discarded() -> None:
    async with (
        fake_redis_server(lambda _: ResponseError(REFUSALS[0])) as server,
        open_redis(server.url, timeout=NO_TIMEOUT, max_connections=1) as client,
    ):
        connection = (await open_connections(client, 1))[0]
        pipeline = client.pipeline(transaction=False)
        pipeline.set("a", 1)
        pipeline.set("b", 2)
        with pytest.raises(ServerRefused):
            await pipeline.execute(raise_on_error=False)
        assert not connection.is_connected


async def test_a_raw_connection_is_replaced_after_a_refusal() -> None:
    replies: list[Reply] = ["OK", ResponseError(REFUSALS[0]), "OK"]
    async with (
        fake_redis_server(lambda _: replies.pop(0)) as server,
        open_redis(server.url, timeout=None) as client,
    ):
        connection = RawConnection(client, timeout=NO_TIMEOUT)
        with pytest.raises(ServerRefused):
            await connection.call([pack("XADD", "a"), pack("XADD", "b")])
        assert await connection.call([pack("XADD", "a")]) == [b"OK"]


def test_error_replies_about_the_command_are_no_refusals() -> None:
    for message in ("ERR syntax error", "WRONGTYPE Operation", "BUSYGROUP exists", "BUSYKEY exists", "NOSCRIPT none"):
        assert refusal_of(ResponseError(message)) is None


async def test_the_kernel_reports_a_lost_host_within_seconds() -> None:
    async with fake_redis_server(echo) as server, open_redis(server.url, timeout=NO_TIMEOUT) as client:
        connection = (await open_connections(client, 1))[0]
        assert connection._writer is not None
        opened = connection._writer.transport.get_extra_info("socket")
        assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == int(PEER_TIMEOUT.seconds * 1000)
        assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == PEER_TIMEOUT.idle_and_interval[0]
