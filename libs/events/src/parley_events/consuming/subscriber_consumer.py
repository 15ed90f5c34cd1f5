"""Consumer of an external subscriber: waits until it is the active replica, loads parked events, then consumes."""

import asyncio
import logging
from uuid import uuid4

from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractQueue
from aio_pika.exceptions import AMQPChannelError

from parley_events.connection import SupervisedConnection
from parley_events.consuming.acknowledgement import send
from parley_events.consuming.consumer import QueueConsumer
from parley_events.consuming.received_messages import ReceivedMessage, consume
from parley_events.consuming.subscriber_dispatcher import SubscriberDispatcher
from parley_events.side_queues import BATON, OwnExchange
from parley_events.subscription import Subscription
from parley_events.topology import (
    PARKED,
    QueueType,
    SubscriberNames,
    declare_subscriber,
    external_subscriber_queue_arguments,
    topology_error,
)
from parley_events.waiting import at_most

log = logging.getLogger(__name__)

BATON_RENEWAL = 600.0
"""Seconds for which one baton is held. RabbitMQ closes a channel that does not acknowledge a message for 30 minutes;
one that holds events for longer is closed, and the subscriber starts again where it was."""
LOAD_TIMEOUT = 60.0
"""Seconds for the broker to deliver the parked events."""


class SubscriberConsumer(QueueConsumer):
    """Consumes the queue of an external subscriber on one replica at a time.

    Both the main and the parked queue have a single active consumer. A message in the parked queue, the baton,
    makes its holder the active replica: only then has the broker returned all that an earlier replica held. It loads
    every parked event before it consumes the main queue, so that no event overtakes a parked one of its key.
    """

    def __init__(
        self,
        connection: SupervisedConnection,
        subscription: Subscription,
        queue_type: QueueType,
        own: OwnExchange,
        dispatcher: SubscriberDispatcher,
        consuming: asyncio.Event,
    ) -> None:
        arguments = external_subscriber_queue_arguments(queue_type, subscription.queue)
        super().__init__(connection, subscription, arguments, dispatcher, consuming)
        self._names = SubscriberNames(subscription.queue)
        self._queue_type, self._own, self._events = queue_type, own, dispatcher
        self._baton, self._marker = asyncio.Event(), asyncio.Event()
        self._marker_id = ""
        self._held_baton: ReceivedMessage | None = None

    async def _open(self, connection: AbstractConnection) -> None:
        self._baton.clear()
        self._marker.clear()
        self._held_baton = None
        bindings = await self._subscription.current_bindings()
        channel = await self._new_channel(connection)
        try:
            main, parked = await declare_subscriber(channel, self._names, bindings, self._queue_type)
        except AMQPChannelError as error:
            raise topology_error(error) from None
        await self._own.open(connection)
        await channel.set_qos(prefetch_count=0)
        await consume(channel, parked.name, self._on_parked)
        await self._own.publish(PARKED, b"", {BATON: uuid4().hex})
        self._queue = main

    async def _become_active(self) -> None:
        if not self._baton.is_set():
            log.info("subscriber_on_standby", extra={"queue": self._names.queue})
            await self._first_of(self._baton)
        channel, queue = self._channel, self._queue
        if self._lost.is_set() or channel is None or queue is None:
            return
        async with asyncio.timeout(LOAD_TIMEOUT):
            await self._load(channel, queue)

    async def _load(self, channel: AbstractChannel, queue: AbstractQueue) -> None:
        self._marker_id = uuid4().hex
        await self._own.publish(PARKED, b"", {BATON: self._marker_id})
        await self._first_of(self._marker)
        if self._lost.is_set():
            return
        self._events.start()
        await self._start_deliveries(channel, queue.name)

    async def _wait_lost(self) -> None:
        while not self._lost.is_set():
            async with at_most(BATON_RENEWAL):
                await self._lost.wait()
            if not self._lost.is_set():
                await self._own.publish(PARKED, b"", {BATON: uuid4().hex})

    async def _first_of(self, event: asyncio.Event) -> None:
        """Wait for an event or the loss of the channel."""
        waits = [asyncio.ensure_future(event.wait()), asyncio.ensure_future(self._lost.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _on_parked(self, message: ReceivedMessage) -> None:
        mark = message.headers.get(BATON)
        if mark is None:
            await self._events.dispatch_parked(message)
            return
        previous, self._held_baton = self._held_baton, message
        self._baton.set()
        if previous is not None:
            await send(previous.ack())
        if mark == self._marker_id:
            self._marker.set()
