"""A consumer of one queue: declares it, consumes, and begins again whenever connection, channel or queue is lost."""

import asyncio
import contextlib

import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractQueue
from aio_pika.exceptions import AMQPChannelError

from parley_events.connection import CONFLICT_PAUSE, OUTAGES, RECONNECT, Link
from parley_events.dispatcher import Lanes, Observe
from parley_events.subscription import Subscription
from parley_events.topology import SETUP_TIMEOUT, Arguments, TopologyError, assert_queue, refused

log = structlog.get_logger()

FINISH_TIMEOUT = 10.0
"""Seconds that running handlers get at the end; what they do not finish goes back to the queue."""
GOODBYE = 2.0


class Consumer:
    """Consumes for one subscription; run ``run`` in the background and ``stop`` before it is cancelled."""

    def __init__(
        self, link: Link, subscription: Subscription, arguments: Arguments, *, service: str, observe: Observe
    ) -> None:
        """Take the connection, what to consume, and the arguments of its queue."""
        self._link, self._subscription, self._arguments = link, subscription, arguments
        self._lanes = Lanes(subscription, service=service, observe=observe)
        self._consuming = asyncio.Event()
        self._lost = asyncio.Event()
        self._channel: AbstractChannel | None = None
        self._queue: AbstractQueue | None = None
        self._tag = ""

    async def wait_consuming(self, timeout: float | None) -> bool:
        """Wait at most ``timeout`` seconds (None: for ever) until events are delivered; return whether they are."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._consuming.wait()
        return self._consuming.is_set()

    async def run(self) -> None:
        """Consume until cancelled."""
        while True:
            connection = await self._link.connection()
            await asyncio.sleep(await self._once(connection))

    async def stop(self, finish_timeout: float = FINISH_TIMEOUT) -> None:
        """Take no more events, let running handlers end and acknowledge, return the rest to the queue."""
        if self._queue is not None and self._channel is not None and not self._channel.is_closed:
            with contextlib.suppress(*OUTAGES):
                await self._queue.cancel(self._tag, timeout=GOODBYE)
        await self._lanes.finish(finish_timeout)
        await self._close_channel()

    async def _once(self, connection: AbstractConnection) -> float:
        queue = self._subscription.queue
        try:
            await self._consume(connection)
        except TopologyError as error:
            log.error("cannot consume", queue=queue, reason=str(error))  # noqa: TRY400 - a plain line
            return CONFLICT_PAUSE
        except OUTAGES as error:
            log.warning("consumer interrupted", queue=queue, reason=type(error).__name__)
        return RECONNECT

    async def _consume(self, connection: AbstractConnection) -> None:
        self._lost.clear()
        try:
            async with asyncio.timeout(SETUP_TIMEOUT):
                await self._open(connection)
            self._consuming.set()
            await self._lost.wait()
            log.warning("consumer lost", queue=self._subscription.queue)
        finally:
            self._consuming.clear()
            await self._close_channel()

    async def _open(self, connection: AbstractConnection) -> None:
        # The attribute keeps the channel alive: aio-pika itself holds it only weakly.
        self._channel = channel = await connection.channel(publisher_confirms=False)
        channel.close_callbacks.add(self._on_lost)
        underlay = await channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(self._on_lost)
        await channel.set_qos(prefetch_count=self._subscription.prefetch)
        try:
            self._queue = await assert_queue(
                channel, self._subscription.queue, self._subscription.bindings, self._arguments
            )
        except AMQPChannelError as error:
            raise refused(error) from None
        self._tag = await self._queue.consume(self._lanes.take)

    def _on_lost(self, *_: object) -> None:
        self._lost.set()

    async def _close_channel(self) -> None:
        channel, self._channel, self._queue = self._channel, None, None
        if channel is None or channel.is_closed:
            return
        with contextlib.suppress(*OUTAGES):
            async with asyncio.timeout(GOODBYE):
                await channel.close()
