"""Supervised connection: preparation, reconnects, health checks, and blocked publishers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from aio_pika.abc import AbstractConnection

from parley_events.connection import (
    CLOSE_TIMEOUT,
    HEALTH_CHECK_INTERVAL,
    HEALTH_CHECK_TIMEOUT,
    RECONNECT_DELAY,
    TOPOLOGY_RETRY_DELAY,
    Prepare,
    SupervisedConnection,
)
from parley_events.tasks import running
from parley_events.topology import TopologyError
from parley_testing.fakes.amqp import FakeBroker
from parley_testing.virtual_time import virtual_time


@contextlib.asynccontextmanager
async def supervised(broker: FakeBroker, prepare: Prepare | None = None) -> AsyncIterator[SupervisedConnection]:
    connection = SupervisedConnection("amqp://broker/", name="test", prepare=prepare, connect=broker.connect)
    async with running(connection.run):
        yield connection


@virtual_time
async def test_a_connection_is_prepared_before_anyone_gets_it() -> None:
    prepared = asyncio.Event()

    async def prepare(_connection: AbstractConnection) -> None:
        await asyncio.sleep(1)
        prepared.set()

    async with supervised(FakeBroker(), prepare) as connection:
        await connection.connection()
        assert prepared.is_set()
        assert connection.is_up
        assert connection.down_reason == ""


@virtual_time
async def test_a_lost_connection_is_replaced() -> None:
    broker = FakeBroker()
    async with supervised(broker) as connection:
        first = await connection.connection()
        broker.connections[0].lose()
        await asyncio.sleep(RECONNECT_DELAY / 2)
        assert not connection.is_up
        assert connection.down_reason == "ConnectionResetError"
        assert await connection.connection() is not first


@virtual_time
async def test_a_reset_connection_is_closed_and_replaced() -> None:
    broker = FakeBroker()
    async with supervised(broker) as connection:
        await connection.connection()
        connection.reset()
        await asyncio.sleep(2 * RECONNECT_DELAY)
        assert connection.is_up
    assert [made.is_closed for made in broker.connections] == [True, True]


@virtual_time
async def test_a_broker_that_is_down_is_tried_once_a_second() -> None:
    broker = FakeBroker()
    broker.is_down = True
    async with supervised(broker) as connection:
        assert not await connection.wait_up(9.5 * RECONNECT_DELAY)
        assert broker.attempts == 10
        assert connection.down_reason == "AMQPConnectionError"
        broker.is_down = False
        assert await connection.wait_up(RECONNECT_DELAY)


@virtual_time
async def test_a_frozen_broker_is_noticed_by_the_health_check_and_does_not_delay_the_next_connection() -> None:
    broker = FakeBroker()
    async with supervised(broker) as connection:
        await connection.connection()
        broker.connections[0].is_frozen = True
        await asyncio.sleep(HEALTH_CHECK_INTERVAL + HEALTH_CHECK_TIMEOUT - 0.1)
        assert connection.is_up
        await asyncio.sleep(0.2)
        assert connection.down_reason == "TimeoutError"
        assert await connection.wait_up(RECONNECT_DELAY)
    assert len(broker.connections) == 2


@virtual_time
async def test_a_broker_that_blocks_publishers_is_not_taken_for_a_frozen_one() -> None:
    broker = FakeBroker()
    async with supervised(broker) as connection:
        await connection.connection()
        broker.connections[0].is_frozen = broker.connections[0].is_blocked = True
        await asyncio.sleep(10 * HEALTH_CHECK_TIMEOUT)
        assert connection.is_up
        assert connection.is_blocked
        broker.connections[0].is_frozen = broker.connections[0].is_blocked = False
        await asyncio.sleep(HEALTH_CHECK_INTERVAL)
        assert not connection.is_blocked


@virtual_time
async def test_a_topology_conflict_is_reported_and_retried_rarely(caplog: pytest.LogCaptureFixture) -> None:
    async def prepare(_connection: AbstractConnection) -> None:
        raise TopologyError("RabbitMQ refused: inequivalent arg")

    broker = FakeBroker()
    async with supervised(broker, prepare) as connection:
        await asyncio.sleep(2.5 * TOPOLOGY_RETRY_DELAY)
        assert connection.down_reason == "RabbitMQ refused: inequivalent arg"
    assert broker.attempts == 3
    assert caplog.messages.count("broker_topology_conflict") == 3


@virtual_time
async def test_an_unexpected_error_is_logged_and_does_not_end_the_supervision(
    caplog: pytest.LogCaptureFixture,
) -> None:
    errors: list[Exception] = [KeyError("a bug")]

    async def prepare(_connection: AbstractConnection) -> None:
        if errors:
            raise errors.pop()

    async with supervised(FakeBroker(), prepare) as connection:
        assert await connection.wait_up(2 * RECONNECT_DELAY)
    assert caplog.messages.count("broker_connection_failed") == 1


@virtual_time
async def test_repeated_outages_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    broker = FakeBroker()
    broker.is_down = True
    async with supervised(broker) as connection:
        await connection.wait_up(20 * RECONNECT_DELAY)
    assert caplog.messages.count("broker_unreachable") == 1


@virtual_time
async def test_ending_waits_for_a_frozen_broker_only_for_the_close_timeout() -> None:
    broker = FakeBroker()
    async with supervised(broker) as connection:
        await connection.connection()
        broker.connections[0].is_frozen = True
        left = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - left <= CLOSE_TIMEOUT


@virtual_time
async def test_the_next_node_of_a_cluster_is_tried_after_one_that_refuses() -> None:
    broker, seen = FakeBroker(), list[str]()

    async def connect(url: str, name: str) -> AbstractConnection:
        seen.append(url)
        broker.is_down = "node1" in url
        return await broker.connect(url, name)

    urls = "amqp://a:b,c@node1/, amqps://node2/,amqp://node3/"
    connection = SupervisedConnection(urls, name="test", connect=connect)
    async with running(connection.run):
        await connection.connection()
        for _ in range(2):
            broker.connections[-1].lose()
            await asyncio.sleep(3 * RECONNECT_DELAY)
            assert connection.is_up
    assert set(seen) == {"amqp://a:b,c@node1/", "amqps://node2/", "amqp://node3/"}
