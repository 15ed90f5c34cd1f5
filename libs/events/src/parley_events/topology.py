"""The names and arguments of everything Parley has on a RabbitMQ broker, and how they are asserted."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, TypeAlias

import structlog
from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractQueue
from aio_pika.exceptions import AMQPChannelError, ChannelNotFoundEntity

log = structlog.get_logger()

EVENTS = "parley.events"
DEAD = "parley.dead"
LOG = "parley.log"
EVERYTHING = "#"

SETUP_TIMEOUT = 10.0
"""Seconds that opening a channel and asserting what it needs may take."""
LOG_PATIENCE, LOG_POLL = 5.0, 0.5
"""Seconds that publishing waits for the log of a broker that has just started, and between two looks."""
LOG_MAX_AGE = "7D"
LOG_MAX_BYTES = 2_000_000_000
LOG_SEGMENT_BYTES = 100_000_000
DEAD_MAX_BYTES = 1_000_000_000
STRANGER_MAX_BYTES = 500_000_000
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


def stranger_arguments(queue_type: QueueType) -> Arguments:
    """Return the arguments of a subscriber's queue: bounded, so that a forgotten one cannot fill the broker."""
    arguments: Arguments = {"x-queue-type": queue_type, "x-max-length-bytes": STRANGER_MAX_BYTES}
    if queue_type == "quorum":
        arguments["x-delivery-limit"] = DELIVERY_LIMIT
    return arguments


async def assert_exchanges(connection: AbstractConnection, queue_type: QueueType) -> None:
    """Declare the exchanges and the dead letters; raises TopologyError on a conflict."""
    await with_channel(connection, lambda channel: _assert_exchanges(channel, queue_type))


async def assert_log(connection: AbstractConnection) -> bool:
    """Declare the log; return False, with a warning, when this broker has none: only replay needs it."""
    deadline = time.monotonic() + LOG_PATIENCE
    while True:
        try:
            await with_channel(connection, _assert_log)
        except TopologyError as error:
            return await _adopt_log(connection, error)
        except ChannelNotFoundEntity as error:
            # A broker that has just started says so until the log's own recovery is through; 3.10 says it for ever
            # when it was killed within a second of the log's first declaration.
            if time.monotonic() > deadline:
                log.warning("the event log is broken", queue=LOG, reason=str(error))
                return False
            await asyncio.sleep(LOG_POLL)
        else:
            return True


async def _adopt_log(connection: AbstractConnection, conflict: TopologyError) -> bool:
    """Use a log that somebody declared with other limits."""
    try:
        await with_channel(connection, _bind_log)
    except (TopologyError, ChannelNotFoundEntity):
        log.warning("no event log on this broker", queue=LOG, reason=str(conflict))
        return False
    return True


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
            raise refused(error) from None
        finally:
            if not channel.is_closed:
                await channel.close()


def refused(error: AMQPChannelError) -> Exception:
    """Say in one line what the broker did not like; "not found" is only the state of a broker that is starting."""
    if isinstance(error, ChannelNotFoundEntity):
        return error
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
    await channel.declare_queue(LOG, durable=True, arguments=arguments)
    await _bind_log(channel)


async def _bind_log(channel: AbstractChannel) -> None:
    await (await channel.get_queue(LOG)).bind(EVENTS, EVERYTHING)


async def assert_queue(
    channel: AbstractChannel, name: str, bindings: Sequence[str], arguments: Arguments
) -> AbstractQueue:
    """Declare a durable queue and bind it to the events; bindings no longer wanted are the operator's to remove."""
    queue = await channel.declare_queue(name, durable=True, arguments=arguments)
    for binding in bindings:
        await queue.bind(EVENTS, binding)
    return queue
