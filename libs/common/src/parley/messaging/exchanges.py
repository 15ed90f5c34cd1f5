"""Exchanges, dead-letter queue, and event log on RabbitMQ."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

import structlog
from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import AMQPChannelError, ChannelNotFoundEntity

from parley.messaging.bus import DEAD_LETTERS, BusDown
from parley_events.connection import OUTAGES
from parley_events.routing import ALL_EVENTS
from parley_events.topology import (
    DELIVERY_LIMIT,
    EVENT_LOG,
    EVENTS_EXCHANGE,
    SETUP_TIMEOUT,
    Arguments,
    QueueType,
    TopologyError,
    queue_depth,
    topology_error,
)

log = structlog.get_logger()

LOG_READY_TIMEOUT, LOG_POLL_INTERVAL = 5.0, 0.5
"""Seconds to wait for the event log of a broker that has just started, and between two attempts."""
BIND_TIMEOUT = 5.0
"""Seconds to bind a queue while a request waits for it."""
LOG_MAX_AGE = "7D"
LOG_MAX_BYTES = 2_000_000_000
LOG_SEGMENT_BYTES = 100_000_000
DEAD_LETTERS_MAX_BYTES = 1_000_000_000


def service_queue_arguments(queue_type: QueueType, *, single_active: bool = False) -> Arguments:
    """Return the arguments of a service's queue, whose failed messages become dead letters."""
    arguments: Arguments = {"x-queue-type": queue_type, "x-dead-letter-exchange": DEAD_LETTERS}
    if single_active:
        arguments["x-single-active-consumer"] = True
    if queue_type == "quorum":
        arguments |= {
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        }
    return arguments


async def declare_exchanges(connection: AbstractConnection, queue_type: QueueType) -> None:
    """Declare the exchanges and the dead-letter queue. Raise ``TopologyError`` on a conflict."""
    await _with_channel(connection, lambda channel: _declare_exchanges(channel, queue_type))


async def declare_log(connection: AbstractConnection) -> bool:
    """Declare the event log; log a warning and return False if this broker has none. Only replays need the log."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + LOG_READY_TIMEOUT
    while True:
        try:
            await _with_channel(connection, _declare_log)
        except TopologyError as error:
            return await _use_existing_log(connection, error)
        except ChannelNotFoundEntity as error:
            # A broker that has just started answers "not found" until it has recovered the log. RabbitMQ 3.10 answers
            # so for ever if it was killed within a second after the log was first declared.
            if clock() > deadline:
                log.warning("event_log_broken", queue=EVENT_LOG, reason=str(error))
                return False
            await asyncio.sleep(LOG_POLL_INTERVAL)
        else:
            return True


async def _use_existing_log(connection: AbstractConnection, conflict: TopologyError) -> bool:
    """Bind a log that was declared with other limits."""
    try:
        await _with_channel(connection, _bind_log)
    except (TopologyError, ChannelNotFoundEntity):
        log.warning("event_log_unavailable", queue=EVENT_LOG, reason=str(conflict))
        return False
    return True


async def _with_channel(connection: AbstractConnection, declare: Callable[[AbstractChannel], Awaitable[None]]) -> None:
    async with asyncio.timeout(SETUP_TIMEOUT):
        channel = await connection.channel()
        try:
            await declare(channel)
        except AMQPChannelError as error:
            raise topology_error(error) from None
        finally:
            if not channel.is_closed:
                await channel.close()


async def _declare_exchanges(channel: AbstractChannel, queue_type: QueueType) -> None:
    await channel.declare_exchange(EVENTS_EXCHANGE, ExchangeType.TOPIC, durable=True)
    await channel.declare_exchange(DEAD_LETTERS, ExchangeType.TOPIC, durable=True)
    arguments: Arguments = {"x-queue-type": queue_type, "x-max-length-bytes": DEAD_LETTERS_MAX_BYTES}
    if queue_type == "quorum":
        arguments["x-delivery-limit"] = DELIVERY_LIMIT
    queue = await channel.declare_queue(DEAD_LETTERS, durable=True, arguments=arguments)
    await queue.bind(DEAD_LETTERS, ALL_EVENTS)


async def _declare_log(channel: AbstractChannel) -> None:
    arguments: Arguments = {
        "x-queue-type": "stream",
        "x-max-age": LOG_MAX_AGE,
        "x-max-length-bytes": LOG_MAX_BYTES,
        "x-stream-max-segment-size-bytes": LOG_SEGMENT_BYTES,
    }
    await channel.declare_queue(EVENT_LOG, durable=True, arguments=arguments)
    await _bind_log(channel)


async def _bind_log(channel: AbstractChannel) -> None:
    await _bind(channel, EVENT_LOG, ALL_EVENTS)


async def _bind(channel: AbstractChannel, queue: str, routing_key: str) -> None:
    await (await channel.get_queue(queue)).bind(EVENTS_EXCHANGE, routing_key)


async def bind_queue(connection: AbstractConnection, queue: str, routing_key: str) -> None:
    """Bind a queue to more events. Raise ``BusDown`` unless the broker confirms it."""
    try:
        async with asyncio.timeout(BIND_TIMEOUT):
            await _with_channel(connection, lambda channel: _bind(channel, queue, routing_key))
    except TopologyError as error:
        raise BusDown(f"The queue {queue} was not bound. {error}") from error
    except OUTAGES as error:
        raise BusDown(f"The queue {queue} was not bound: {type(error).__name__}.") from error


async def waiting_events(connection: AbstractConnection, queues: Sequence[str]) -> dict[str, int]:
    """Return the number of messages that wait in each of the queues that exist."""
    found = {}
    for queue in queues:
        with contextlib.suppress(ChannelNotFoundEntity):
            found[queue] = (await queue_depth(connection, queue)).waiting
    return found
