"""Exchanges, dead letters, and event log, declared on a fake broker."""

import asyncio
from typing import cast

import pytest
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import AMQPChannelError, ChannelNotFoundEntity, ChannelPreconditionFailed

from parley.messaging.exchanges import LOG_READY_TIMEOUT, declare_exchanges, declare_log, service_queue_arguments
from parley_events.topology import TopologyError
from parley_testing.fakes.amqp import FakeConnection
from parley_testing.telemetry.captured_logs import captured_logs
from parley_testing.virtual_time import virtual_time


def as_connection(connection: FakeConnection) -> AbstractConnection:
    return cast("AbstractConnection", connection)


@virtual_time
async def test_the_exchanges_and_the_dead_letter_queue_are_declared_on_a_channel_of_their_own() -> None:
    connection = FakeConnection()
    await declare_exchanges(as_connection(connection), "classic")
    assert connection.declared == ["parley.events", "parley.dead", "parley.dead"]
    assert connection.channels[0].is_closed


@virtual_time
async def test_a_conflicting_declaration_is_a_topology_error() -> None:
    connection = FakeConnection(ChannelPreconditionFailed("inequivalent arg"))
    with pytest.raises(TopologyError, match="inequivalent arg"):
        await declare_exchanges(as_connection(connection), "quorum")
    assert connection.channels[0].is_closed


@virtual_time
async def test_the_event_log_is_declared_and_bound_to_all_events() -> None:
    connection = FakeConnection()
    assert await declare_log(as_connection(connection))
    assert connection.declared == ["parley.log"]
    assert connection.channels[0].bindings == ["#"]


@virtual_time
async def test_an_event_log_with_other_limits_is_bound() -> None:
    connection = FakeConnection(ChannelPreconditionFailed("inequivalent arg"))
    assert await declare_log(as_connection(connection))
    assert connection.channels[-1].bindings == ["#"]


@virtual_time
async def test_a_broker_without_streams_has_no_event_log() -> None:
    connection = FakeConnection(AMQPChannelError("no streams"), ChannelNotFoundEntity("NOT_FOUND"))
    with captured_logs() as logs:
        assert not await declare_log(as_connection(connection))
    assert [line["event"] for line in logs] == ["event_log_unavailable"]


@virtual_time
async def test_a_broker_that_has_just_started_is_waited_for() -> None:
    connection = FakeConnection(*(ChannelNotFoundEntity("NOT_FOUND") for _ in range(3)))
    assert await declare_log(as_connection(connection))


@virtual_time
async def test_an_event_log_that_is_not_recovered_in_time_is_given_up() -> None:
    connection = FakeConnection(*(ChannelNotFoundEntity("NOT_FOUND") for _ in range(100)))
    with captured_logs() as logs:
        assert not await declare_log(as_connection(connection))
    assert [line["event"] for line in logs] == ["event_log_broken"]
    assert asyncio.get_running_loop().time() == pytest.approx(LOG_READY_TIMEOUT, abs=1)


def test_a_services_queue_dead_letters_and_a_quorum_queue_limits_deliveries() -> None:
    assert service_queue_arguments("classic") == {"x-queue-type": "classic", "x-dead-letter-exchange": "parley.dead"}
    assert service_queue_arguments("quorum")["x-delivery-limit"] == 20
