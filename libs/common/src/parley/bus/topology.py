"""The names and arguments of everything Parley has on a RabbitMQ broker, and how they are asserted."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, TypeAlias

import structlog
from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractQueue
from aio_pika.exceptions import AMQPChannelError, AMQPError

log = structlog.get_logger()

EVENTS = "parley.events"
DEAD = "parley.dead"
LOG = "parley.log"
EVERYTHING = "#"

SETUP_TIMEOUT = 10.0
"""Seconds that opening a channel and asserting what it needs may take."""
LOG_MAX_AGE = "7D"
LOG_MAX_BYTES = 2_000_000_000
LOG_SEGMENT_BYTES = 100_000_000
DEAD_MAX_BYTES = 1_000_000_000
DELIVERY_LIMIT = 20
"""Deliveries of one message by a quorum queue: above any consumer's own attempts, and never the broker's default."""

QueueType: TypeAlias = Literal["classic", "quorum"]
Arguments: TypeAlias = dict[str, Any]


class TopologyError(Exception):
    """The broker has something under our name that is not ours, or does not let us declare it."""


def queue_arguments(queue_type: QueueType) -> Arguments:
    """Return the arguments of a queue whose failed messages go to the dead letters."""
    arguments: Arguments = {"x-queue-type": queue_type, "x-dead-letter-exchange": DEAD}
    if queue_type == "quorum":
        arguments |= {
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        }
    return arguments


async def assert_topology(connection: AbstractConnection, queue_type: QueueType) -> None:
    """Declare exchanges, dead letters and the log; raises TopologyError on a conflict."""
    await with_channel(connection, lambda channel: _assert_exchanges(channel, queue_type))
    try:
        await with_channel(connection, _assert_log)
    except TopologyError as error:
        # Events are delivered without it; only replay needs the log.
        log.warning("no event log on this broker", queue=LOG, reason=str(error))


async def with_channel(
    connection: AbstractConnection,
    work: Callable[[AbstractChannel], Awaitable[None]],
    *,
    timeout: float = SETUP_TIMEOUT,
) -> None:
    """Do something short on a channel of its own; raises TopologyError when the broker refuses it."""
    async with asyncio.timeout(timeout):
        channel = await connection.channel()
        try:
            await work(channel)
        except AMQPChannelError as error:
            raise refused(error) from error
        finally:
            if not channel.is_closed:
                await channel.close()


def refused(error: AMQPError) -> TopologyError:
    """Say in one line what the broker did not like."""
    return TopologyError(f"RabbitMQ refused: {error}. Remove what is in the way, or correct this user's permissions.")


async def _assert_exchanges(channel: AbstractChannel, queue_type: QueueType) -> None:
    await channel.declare_exchange(EVENTS, ExchangeType.TOPIC, durable=True)
    await channel.declare_exchange(DEAD, ExchangeType.TOPIC, durable=True)
    arguments: Arguments = {"x-queue-type": queue_type, "x-max-length-bytes": DEAD_MAX_BYTES}
    if queue_type == "quorum":
        arguments["x-delivery-limit"] = DELIVERY_LIMIT
    dead = await channel.declare_queue(DEAD, durable=True, arguments=arguments)
    await dead.bind(DEAD, EVERYTHING)


async def _assert_log(channel: AbstractChannel) -> None:
    arguments: Arguments = {
        "x-queue-type": "stream",
        "x-max-age": LOG_MAX_AGE,
        "x-max-length-bytes": LOG_MAX_BYTES,
        "x-stream-max-segment-size-bytes": LOG_SEGMENT_BYTES,
    }
    stream = await channel.declare_queue(LOG, durable=True, arguments=arguments)
    await stream.bind(EVENTS, EVERYTHING)


async def assert_queue(
    channel: AbstractChannel, name: str, bindings: Sequence[str], arguments: Arguments
) -> AbstractQueue:
    """Declare a durable queue and bind it to the events; bindings no longer wanted are the operator's to remove."""
    queue = await channel.declare_queue(name, durable=True, arguments=arguments)
    for binding in bindings:
        await queue.bind(EVENTS, binding)
    return queue
