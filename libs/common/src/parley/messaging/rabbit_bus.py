"""Bus on RabbitMQ, with one supervised connection for publishing and one for consuming."""

import asyncio
import contextlib
import contextvars
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import DeliveryError
from aio_pika.exceptions import PublishError as UnroutableError
from aiormq.abc import AbstractChannel as UnderlayChannel
from aiormq.connection import Connection as UnderlayConnection
from pamqp.commands import Basic

from parley.ids import new_id
from parley.messaging.bus import BusDown, PublishError
from parley.messaging.exchanges import (
    bind_queue,
    declare_exchanges,
    declare_log,
    service_queue_arguments,
    waiting_events,
)
from parley.messaging.outages import SERVICE_FAILURE_POLICY
from parley.messaging.outcome_metrics import outcome_observer
from parley.observability.metrics import Metrics
from parley.process.tasks import background, is_cancelled
from parley.process.timeouts import at_most
from parley_events.cloudevents import CONTENT_TYPE, CloudEvent, to_headers
from parley_events.connection import OUTAGES, Connect, SupervisedConnection, connect
from parley_events.consuming.batch_dispatcher import BatchDispatcher
from parley_events.consuming.consumer import FINISH_TIMEOUT, Dispatcher, QueueConsumer
from parley_events.consuming.dispatcher import KeyedDispatcher
from parley_events.subscription import Subscription
from parley_events.topology import EVENTS_EXCHANGE, QueueType

PUBLISH_TIMEOUT = 5.0
STARTUP_TIMEOUT = 5.0
MAX_EVENT_BYTES = 15_000_000
"""RabbitMQ 4 accepts 16 MiB; a larger message closes the channel and with it fails all publishes in flight."""
MAX_UNWRITTEN = 1000
"""Publishes that wait until their connection writes them: more than a relay has at once. Of aiormq's ten, the eleventh
waits with the lock of its channel, and from then on aiormq writes one in each iteration of the event loop, for as long
as others follow: a busy process published 150 events a second."""
PERSISTENT = 2


class RabbitBus:
    """Bus for several processes; open it with ``open_rabbit``."""

    def __init__(
        self,
        url: str,
        *,
        service: str,
        queue_type: QueueType,
        metrics: Metrics,
        startup_timeout: float = STARTUP_TIMEOUT,
        finish_timeout: float = FINISH_TIMEOUT,
        connect: Connect = connect,
    ) -> None:
        """Set up both connections; ``running`` opens them.

        ``startup_timeout`` is the number of seconds that ``running`` and ``consume`` wait for the broker before they go
        on without it, ``finish_timeout`` the number of seconds for running handlers to finish on shutdown.
        """
        UnderlayConnection.FRAME_BUFFER_SIZE = MAX_UNWRITTEN  # no argument sets it
        self._startup_timeout, self._finish_timeout = startup_timeout, finish_timeout
        self._service, self._queue_type, self._metrics = service, queue_type, metrics
        self._publishing = SupervisedConnection(
            url, name=f"parley-{service}-publish", prepare=self._prepare_publishing, connect=connect
        )
        self._consuming = SupervisedConnection(
            url, name=f"parley-{service}-consume", prepare=self._prepare_consuming, connect=connect
        )
        self._channel: AbstractChannel | None = None
        self._underlay: UnderlayChannel | None = None
        self._has_log = True
        self._consumers: dict[str, QueueConsumer] = {}
        metrics.bus_up.labels("publish").set_function(lambda: float(self._publishing_down() is None))
        metrics.bus_up.labels("consume").set_function(lambda: float(self._consuming.is_up))

    async def publish(self, event: CloudEvent) -> None:
        """Return after the broker has confirmed the event. Raise ``PublishError``, or ``BusDown`` during an outage."""
        channel = self._ready_channel()
        if len(event.data) > MAX_EVENT_BYTES:
            raise PublishError(f"The event has more than {MAX_EVENT_BYTES} bytes.")
        try:
            async with at_most(PUBLISH_TIMEOUT) as wait:
                # Does not wait for the write: only the confirm counts, and events that wait together share a write.
                await channel.basic_publish(  # type: ignore[call-arg]  # the base class of aiormq lacks ``wait``
                    event.data,
                    exchange=EVENTS_EXCHANGE,
                    routing_key=event.routing_key,
                    properties=_properties(event),
                    mandatory=True,
                    wait=False,
                )
            if wait.expired:
                raise PublishError(f"RabbitMQ did not confirm the event within {PUBLISH_TIMEOUT:g} s.")
        except UnroutableError:
            # The log is bound to all events, so a binding is missing. Without a log, the event has no subscriber.
            if self._has_log:
                raise PublishError("No queue is bound to this event.") from None
        except DeliveryError as error:
            raise PublishError("RabbitMQ refused the event.") from error
        except OUTAGES as error:
            raise BusDown(f"The connection to RabbitMQ failed: {type(error).__name__}.") from error
        except asyncio.CancelledError:
            if is_cancelled():
                raise
            # aiormq cancels the waiting publish when its channel closes.
            raise BusDown("The channel to RabbitMQ was closed.") from None

    @contextlib.asynccontextmanager
    async def consume(self, subscription: Subscription) -> AsyncIterator[None]:
        """Hand events to the handler while the context is entered; if the broker is down, once it is available."""
        queue = subscription.queue
        if queue in self._consumers:
            raise ValueError(f"The queue {queue} already has a consumer.")
        consumer = self._consumers[queue] = self._consumer(subscription)
        self._metrics.consumer_up.labels(queue).set_function(lambda: float(consumer.consuming.is_set()))
        try:
            async with background(f"consume {queue}", consumer.run, service=self._service):
                await consumer.wait_consuming(self._startup_timeout if self._consuming.is_up else 0)
                try:
                    yield
                finally:
                    await consumer.stop(self._finish_timeout)
        finally:
            del self._consumers[queue]
            self._metrics.consumer_up.remove(queue)

    async def bind(self, queue: str, routing_key: str) -> None:
        """Bind a consumed queue to more events. Raise ``BusDown`` unless the broker confirms it."""
        if down := _disconnected(self._consuming):
            raise down
        await bind_queue(await self._consuming.connection(), queue, routing_key)

    async def ping(self) -> None:
        """Raise ``BusDown`` unless the broker accepts events and delivers those of every consumed queue."""
        if down := self._down():
            raise down

    async def waiting(self, queues: Sequence[str]) -> dict[str, int]:
        """Return the number of events that wait in each of the queues that exist. Raise ``BusDown`` in an outage."""
        if down := _disconnected(self._consuming):
            raise down
        return await waiting_events(await self._consuming.connection(), queues)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep both connections while the context is entered."""
        async with (
            background("bus publishing", self._publishing.run, service=self._service),
            background("bus consuming", self._consuming.run, service=self._service),
        ):
            clock = asyncio.get_running_loop().time
            deadline = clock() + self._startup_timeout
            for connection in (self._publishing, self._consuming):
                await connection.wait_up(max(0.0, deadline - clock()))
            yield

    def _consumer(self, subscription: Subscription) -> QueueConsumer:
        arguments = service_queue_arguments(self._queue_type, single_active=subscription.single_active)
        return QueueConsumer(self._consuming, subscription, arguments, self._dispatcher(subscription))

    def _dispatcher(self, subscription: Subscription) -> Dispatcher:
        observe, policy = outcome_observer(self._metrics, subscription.queue), SERVICE_FAILURE_POLICY
        context = self._handler_context
        if subscription.batching is None:
            return KeyedDispatcher(subscription, policy, on_outcome=observe, new_context=context)
        return BatchDispatcher(subscription, subscription.batching, policy, on_outcome=observe, new_context=context)

    def _handler_context(self) -> contextvars.Context:
        context = contextvars.Context()
        context.run(structlog.contextvars.bind_contextvars, service=self._service)
        return context

    def _ready_channel(self) -> UnderlayChannel:
        if down := self._publishing_down():
            raise down
        assert self._underlay is not None
        return self._underlay

    def _down(self) -> BusDown | None:
        """Return why events cannot be published or are not delivered; None if nothing is down."""
        if down := self._publishing_down() or _disconnected(self._consuming):
            return down
        for queue, consumer in self._consumers.items():
            if not consumer.consuming.is_set():
                message = f"No events of {queue} are delivered: {consumer.down_reason}."
                return BusDown(message, detail=f"no events of {queue} are delivered")
        return None

    def _publishing_down(self) -> BusDown | None:
        if self._publishing.is_blocked:
            message = "RabbitMQ blocks publishers because of its memory or disk alarm."
            return BusDown(message, detail="publishers are blocked")
        if self._underlay is None and self._publishing.is_up:
            return BusDown("The channel to RabbitMQ was closed.", detail="no channel")
        return _disconnected(self._publishing)

    async def _prepare_publishing(self, connection: AbstractConnection) -> None:
        await declare_exchanges(connection, self._queue_type)
        self._has_log = await declare_log(connection)
        # aio-pika holds a channel only weakly; this reference keeps it alive.
        self._channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        self._channel.close_callbacks.add(self._on_channel_closed)
        self._underlay = await self._channel.get_underlay_channel()

    async def _prepare_consuming(self, connection: AbstractConnection) -> None:
        await declare_exchanges(connection, self._queue_type)

    def _on_channel_closed(self, channel: AbstractChannel | None, _error: BaseException | None) -> None:
        # The broker closes this channel only if the exchange was deleted: a new connection declares it again.
        if channel is self._channel:
            self._underlay = None
            self._publishing.reset()


@contextlib.asynccontextmanager
async def open_rabbit(url: str, *, service: str, queue_type: QueueType, metrics: Metrics) -> AsyncIterator[RabbitBus]:
    """Open the bus, whether or not the broker is up. During an outage ``publish`` raises ``BusDown``."""
    bus = RabbitBus(url, service=service, queue_type=queue_type, metrics=metrics)
    async with bus.running():
        yield bus


def _disconnected(connection: SupervisedConnection) -> BusDown | None:
    if connection.is_up:
        return None
    return BusDown(f"There is no connection to RabbitMQ: {connection.down_reason}.", detail="no connection")


def _properties(event: CloudEvent) -> Basic.Properties:
    # The message ID is the attempt's, not the event's: aiormq mixes up two publishes in flight with the same ID.
    return Basic.Properties(
        content_type=CONTENT_TYPE,
        delivery_mode=PERSISTENT,
        message_id=new_id().hex,
        # Replays start and end by the time of publication; `ce-time` is when the change happened.
        timestamp=datetime.now(UTC),
        headers=dict(to_headers(event)),
    )
