"""Queue consumer: declares its queue, consumes, and starts again after the connection, channel, or queue is lost."""

import asyncio
import contextlib
import logging
from typing import Protocol

from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractQueue
from aio_pika.exceptions import AMQPChannelError, ChannelNotFoundEntity

from parley_events.connection import OUTAGES, RECONNECT_DELAY, TOPOLOGY_RETRY_DELAY, SupervisedConnection
from parley_events.consuming.held_messages import HeldMessages
from parley_events.consuming.received_messages import ReceivedMessage, consume
from parley_events.subscription import Subscription
from parley_events.topology import SETUP_TIMEOUT, Arguments, TopologyError, declare_queue, topology_error
from parley_events.waiting import at_most

log = logging.getLogger(__name__)

FINISH_TIMEOUT = 10.0
"""Seconds for running handlers to finish on shutdown; unfinished events return to the queue."""
CANCEL_TIMEOUT = 2.0
CHANNEL_CLOSE_TIMEOUT = 2.0


class Dispatcher(Protocol):
    """Handles the deliveries of a consumer."""

    async def dispatch(self, message: ReceivedMessage) -> None:
        """Take a message."""
        ...

    def reset(self) -> None:
        """Forget the deliveries of a lost channel; running handlers finish."""
        ...

    async def stop(self, timeout: float) -> None:
        """Let running handlers finish within ``timeout`` seconds, and start no others."""
        ...


class QueueConsumer:
    """Consumes one subscription while ``run`` runs; call ``stop`` before cancelling ``run``."""

    def __init__(
        self,
        connection: SupervisedConnection,
        subscription: Subscription,
        arguments: Arguments,
        dispatcher: Dispatcher,
        consuming: asyncio.Event | None = None,
    ) -> None:
        self._connection, self._subscription = connection, subscription
        self._arguments, self._dispatcher = arguments, dispatcher
        self.consuming = consuming or asyncio.Event()
        """Set while events are delivered."""
        self.down_reason = "not started yet"
        """Why no events are delivered; empty while they are."""
        self._held = HeldMessages(subscription.prefetch, subscription.max_held_bytes)
        self._lost = asyncio.Event()
        self._stopping = False
        self._channel: AbstractChannel | None = None
        self._queue: AbstractQueue | None = None
        self._tag = ""

    async def wait_consuming(self, timeout: float | None) -> bool:
        """Wait at most ``timeout`` seconds (None: no limit) until events are delivered; return whether they are."""
        async with at_most(timeout):
            await self.consuming.wait()
        return self.consuming.is_set()

    async def run(self) -> None:
        """Consume until cancelled."""
        while True:
            connection = await self._connection.connection()
            await asyncio.sleep(await self._run_once(connection))

    async def stop(self, finish_timeout: float = FINISH_TIMEOUT) -> None:
        """Stop deliveries, let running handlers finish and acknowledge, and return the other events to the queue."""
        self._stopping = True
        if self._tag and self._queue is not None and self._channel is not None and not self._channel.is_closed:
            with contextlib.suppress(*OUTAGES):
                await self._queue.cancel(self._tag, timeout=CANCEL_TIMEOUT)
        await self._dispatcher.stop(finish_timeout)
        await self._close_channel()

    async def _run_once(self, connection: AbstractConnection) -> float:
        """Consume until the channel is lost; return the seconds to wait before the next attempt."""
        queue = self._subscription.queue
        try:
            await self._consume(connection)
            if self._held.is_given_up:
                return 0.0
        except TopologyError as error:
            self.down_reason = str(error)
            log.error("consumer_refused", extra={"queue": queue, "reason": self.down_reason})  # noqa: TRY400
            return TOPOLOGY_RETRY_DELAY
        except OUTAGES as error:
            # What is not found may never be: the broker names it.
            self.down_reason = str(error) if isinstance(error, ChannelNotFoundEntity) else type(error).__name__
            log.warning("consumer_interrupted", extra={"queue": queue, "reason": self.down_reason})
        except Exception as error:
            self.down_reason = type(error).__name__
            log.exception("consumer_failed", extra={"queue": queue})
        return RECONNECT_DELAY

    async def _consume(self, connection: AbstractConnection) -> None:
        self._lost.clear()
        self._dispatcher.reset()
        self._held.start()
        try:
            async with asyncio.timeout(SETUP_TIMEOUT):
                await self._open(connection)
            await self._become_active()
            if not self._lost.is_set():
                self.down_reason = ""
                self.consuming.set()
            await self._wait_lost()
            self._explain_loss()
        finally:
            self.consuming.clear()
            await self._close_channel()

    async def _open(self, connection: AbstractConnection) -> None:
        bindings = await self._subscription.current_bindings()
        channel = await self._new_channel(connection)
        try:
            self._queue = await declare_queue(channel, self._subscription.queue, bindings, self._arguments)
        except AMQPChannelError as error:
            raise topology_error(error) from None
        await self._start_deliveries(channel, self._subscription.queue)

    async def _start_deliveries(self, channel: AbstractChannel, queue: str) -> None:
        await channel.set_qos(prefetch_count=self._held.prefetch)
        self._tag = await consume(channel, queue, self._dispatcher.dispatch, self._held, self._on_lost)

    async def _new_channel(self, connection: AbstractConnection) -> AbstractChannel:
        """Open the channel whose loss starts the consumer again."""
        # aio-pika holds a channel only weakly; this reference keeps it alive.
        self._channel = channel = await connection.channel(publisher_confirms=False)
        channel.close_callbacks.add(self._on_lost)
        underlay = await channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(self._on_lost)
        return channel

    async def _become_active(self) -> None:
        """Wait until this replica may consume. The replicas of a service share their queue."""

    async def _wait_lost(self) -> None:
        """Return when the channel is lost."""
        await self._lost.wait()

    def _explain_loss(self) -> None:
        queue = self._subscription.queue
        if self._held.is_given_up:
            self.down_reason = "another channel with another prefetch is opened"
            log.warning("prefetch_changed", extra={"queue": queue, "prefetch": self._held.prefetch})
            return
        self.down_reason = "the connection, the channel or the queue was lost"
        if not self._stopping:
            log.warning("consumer_lost", extra={"queue": queue})

    def _on_lost(self, *_: object) -> None:
        self._lost.set()

    async def _close_channel(self) -> None:
        channel, self._channel, self._queue, self._tag = self._channel, None, None, ""
        if channel is None or channel.is_closed:
            return
        with contextlib.suppress(*OUTAGES):
            async with asyncio.timeout(CHANNEL_CLOSE_TIMEOUT):
                await channel.close()
