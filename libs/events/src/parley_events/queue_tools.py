"""Tools around queues and the log: depth, events put into one queue, and events of the log as a stream."""

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractConnection, AbstractExchange
from aio_pika.exceptions import AMQPChannelError, ChannelNotFoundEntity

from parley_events.cloudevents import CONTENT_TYPE, CloudEvent, to_headers
from parley_events.connection import Connect, close, connect_for_command
from parley_events.routing import matches
from parley_events.side_queues import PUBLISH_TIMEOUT
from parley_events.topology import MAIN, QueueDepth, SubscriberNames, queue_depth, topology_error

Put: TypeAlias = Callable[[CloudEvent], Any]


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Selects events by type, a routing key with ``*`` and ``#``, and by partition key."""

    types: tuple[str, ...] = ()
    key: str = ""

    def accepts(self, event: CloudEvent) -> bool:
        """Return whether the event is selected."""
        is_type = not self.types or any(matches(each, event.name) for each in self.types)
        return is_type and self.key in {"", event.partition_key}


async def depths(url: str, queue: str, *, connect: Connect = connect_for_command) -> list[QueueDepth]:
    """Return the depth of a queue and, of a subscriber of this kit, of its parked events and dead letters."""
    names = SubscriberNames(queue)
    found = []
    async with _connection(url, connect) as connection:
        for name in (names.queue, names.parked, names.dead):
            try:
                found.append(await queue_depth(connection, name))
            except ChannelNotFoundEntity:
                if name == queue:
                    raise
    return found


@contextlib.asynccontextmanager
async def open_put(url: str, queue: str, *, connect: Connect = connect_for_command) -> AsyncIterator[Put]:
    """Yield a function that puts an event into one queue, never into the exchange.

    A subscriber's queue is reached through its own exchange, which the team's broker user may use. Raise
    ``ChannelNotFoundEntity`` if the queue does not exist, and ``TopologyError`` if the broker refuses.
    """
    async with _connection(url, connect) as connection:
        exchange, key = await _way_to(connection, queue)

        async def put(event: CloudEvent) -> None:
            message = Message(
                event.data,
                headers=dict(to_headers(event)),
                content_type=CONTENT_TYPE,
                delivery_mode=DeliveryMode.PERSISTENT,
            )
            await exchange.publish(message, key, mandatory=True, timeout=PUBLISH_TIMEOUT)

        yield put


async def _way_to(connection: AbstractConnection, queue: str) -> tuple[AbstractExchange, str]:
    channel = await connection.channel(on_return_raises=True)
    try:
        await channel.declare_queue(queue, passive=True)
        own = await channel.get_exchange(SubscriberNames(queue).exchange)
    except ChannelNotFoundEntity as error:
        if "no queue" in str(error):
            raise
    except AMQPChannelError as error:
        raise topology_error(error) from None
    else:
        return own, MAIN
    channel = await connection.channel(on_return_raises=True)
    return channel.default_exchange, queue


@contextlib.asynccontextmanager
async def _connection(url: str, connect: Connect) -> AsyncIterator[AbstractConnection]:
    connection = await connect(url, "parley-events-tool")
    try:
        yield connection
    finally:
        await close(connection)
