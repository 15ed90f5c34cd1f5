"""The bus on RabbitMQ: publishing and consuming on connections of their own, each supervised.

aio-pika's own recovery is not used: a consumer must assert its queue again before it consumes, and a publisher must
know at once that it is cut off, so that the relay keeps the event.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import DeliveryError
from aio_pika.exceptions import PublishError as Unroutable
from aiormq.abc import AbstractChannel as UnderlayChannel
from pamqp.commands import Basic

from parley.ids import new_id
from parley.messaging.bus import BusDown, PublishError
from parley.observability.metrics import Metrics
from parley.process.tasks import background
from parley_events.cloudevents import CONTENT_TYPE, CloudEvent, to_headers
from parley_events.connection import OUTAGES, Link
from parley_events.consumer import FINISH_TIMEOUT, Consumer
from parley_events.dispatcher import Observe
from parley_events.subscription import Subscription
from parley_events.topology import EVENTS, QueueType, assert_exchanges, assert_log, queue_arguments

PUBLISH_TIMEOUT = 5.0
PATIENCE = 5.0
MAX_BYTES = 15_000_000
"""Largest event: RabbitMQ 4 takes 16 MiB and closes the channel, with everybody's events in it, on more."""
PERSISTENT = 2


class RabbitBus:
    """The bus of several processes; open it with ``open_rabbit``."""

    def __init__(
        self,
        url: str,
        *,
        service: str,
        queue_type: QueueType,
        metrics: Metrics,
        patience: float = PATIENCE,
        finish_timeout: float = FINISH_TIMEOUT,
    ) -> None:
        """Prepare both connections; nothing is opened yet.

        ``patience`` is how many seconds opening waits for the broker before the service goes on without it,
        ``finish_timeout`` how many running handlers get at the end.
        """
        self._patience, self._finish_timeout = patience, finish_timeout
        self._service, self._queue_type, self._metrics = service, queue_type, metrics
        self._publishing = Link(url, name=f"parley-{service}-publish", prepare=self._prepare_publishing)
        self._consuming = Link(url, name=f"parley-{service}-consume", prepare=self._prepare_consuming)
        self._channel: AbstractChannel | None = None
        self._underlay: UnderlayChannel | None = None
        self._has_log = True
        self._consumed: set[str] = set()

    async def publish(self, event: CloudEvent) -> None:
        """Return when the broker has confirmed the event; raises PublishError, BusDown when it takes none."""
        channel = self._ready_channel()
        if len(event.data) > MAX_BYTES:
            raise PublishError(f"the event has more than {MAX_BYTES} bytes")
        try:
            await channel.basic_publish(
                event.data,
                exchange=EVENTS,
                routing_key=event.routing_key,
                properties=_properties(event),
                mandatory=True,
                timeout=PUBLISH_TIMEOUT,
            )
        except Unroutable:
            # The log takes everything, so with it a binding must be missing. Without it, nobody wants this event.
            if self._has_log:
                raise PublishError("no queue is bound to this event") from None
        except DeliveryError as error:
            raise PublishError("RabbitMQ refused the event") from error
        except TimeoutError:
            raise PublishError(f"RabbitMQ did not confirm within {PUBLISH_TIMEOUT:g} s") from None
        except OUTAGES as error:
            raise BusDown(f"the connection to RabbitMQ broke: {type(error).__name__}") from error
        except asyncio.CancelledError:
            if _cancelled_from_outside():
                raise
            raise BusDown("the channel to RabbitMQ was closed") from None

    @contextlib.asynccontextmanager
    async def consume(self, subscription: Subscription) -> AsyncIterator[None]:
        """Hand events to the handler while the context is entered; without a broker, as soon as it is there."""
        queue = subscription.queue
        if queue in self._consumed:
            raise ValueError(f"{queue} has a consumer already")
        arguments = queue_arguments(self._queue_type)
        consumer = Consumer(
            self._consuming, subscription, arguments, service=self._service, observe=self._observer(queue)
        )
        self._consumed.add(queue)
        try:
            async with background(f"consume {queue}", consumer.run, service=self._service):
                await consumer.wait_consuming(self._patience if self._consuming.is_up else 0)
                try:
                    yield
                finally:
                    await consumer.stop(self._finish_timeout)
        finally:
            self._consumed.discard(queue)

    async def ping(self) -> None:
        """Raise BusDown unless both connections answer and publishers are welcome."""
        for link in (self._publishing, self._consuming):
            if not link.is_up:
                raise BusDown(f"no connection to RabbitMQ: {link.trouble}")
        self._ready_channel()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep both connections while the context is entered."""
        async with (
            background("bus publishing", self._publishing.run, service=self._service),
            background("bus consuming", self._consuming.run, service=self._service),
        ):
            deadline = time.monotonic() + self._patience
            for link in (self._publishing, self._consuming):
                await link.wait_up(max(0.0, deadline - time.monotonic()))
            yield

    def _ready_channel(self) -> UnderlayChannel:
        if self._underlay is None or not self._publishing.is_up:
            raise BusDown(f"no connection to RabbitMQ: {self._publishing.trouble}")
        if self._publishing.blocked:
            raise BusDown("RabbitMQ blocks publishers: its memory or disk alarm is on")
        return self._underlay

    async def _prepare_publishing(self, connection: AbstractConnection) -> None:
        await assert_exchanges(connection, self._queue_type)
        self._has_log = await assert_log(connection)
        # The attribute keeps the channel alive: aio-pika itself holds it only weakly.
        self._channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        self._channel.close_callbacks.add(self._on_channel_closed)
        self._underlay = await self._channel.get_underlay_channel()

    async def _prepare_consuming(self, connection: AbstractConnection) -> None:
        await assert_exchanges(connection, self._queue_type)

    def _on_channel_closed(self, channel: AbstractChannel | None, _error: BaseException | None) -> None:
        # The broker closes a channel only when the exchange is gone: assert everything again.
        if channel is self._channel:
            self._underlay = None
            self._publishing.drop()

    def _observer(self, queue: str) -> Observe:
        # There from the start: an increase from nothing to the first dead letter is none to Prometheus.
        self._metrics.events_consumed.labels(queue, "dead")

        def observe(outcome: str, event: CloudEvent | None) -> None:
            self._metrics.events_consumed.labels(queue, outcome).inc()
            if event is not None and outcome == "handled":
                age = (datetime.now(UTC) - event.time).total_seconds()
                self._metrics.consumer_lag.labels(queue).set(max(0.0, age))

        return observe


@contextlib.asynccontextmanager
async def open_rabbit(url: str, *, service: str, queue_type: QueueType, metrics: Metrics) -> AsyncIterator[RabbitBus]:
    """Open the bus. A broker that is away does not fail it: publishing raises BusDown until it is there."""
    bus = RabbitBus(url, service=service, queue_type=queue_type, metrics=metrics)
    async with bus.running():
        yield bus


def _properties(event: CloudEvent) -> Basic.Properties:
    # The id of the attempt, never the event's: two publishes in flight with one id swap their outcomes.
    return Basic.Properties(
        content_type=CONTENT_TYPE,
        delivery_mode=PERSISTENT,
        message_id=new_id().hex,
        headers=dict(to_headers(event)),
    )


def _cancelled_from_outside() -> bool:
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
