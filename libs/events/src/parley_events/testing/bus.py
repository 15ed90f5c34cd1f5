"""In-process bus: RabbitMQ as a subscriber sees it, for unit tests."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, cast

from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import AMQPConnectionError

from parley_events.cloudevents import CloudEvent, to_headers
from parley_events.consuming.clock import Clock, wall_clock
from parley_events.testing.broker import MessageLog
from parley_events.testing.client import Exchanges, InProcessConnection
from parley_events.topology import EVENT_LOG, EVENTS_EXCHANGE, SubscriberNames

if TYPE_CHECKING:
    from parley_events.subscriber import Subscriber

POLL = 0.005


class InProcessBus:
    """Delivers events to subscribers of this process, with their queues, dead letters and event log.

    Enter ``running(subscriber)``, ``publish`` samples, and wait until they are ``settled``.
    """

    def __init__(self) -> None:
        self.exchanges = Exchanges()
        self.connections: list[InProcessConnection] = []
        self.is_down = False
        """While it is set, connections are refused."""
        self._shared_clock: Clock | None = None
        self.log = MessageLog(EVENT_LOG, {})
        """Every event that was published."""
        self.exchanges.queues[EVENT_LOG] = self.log
        self.exchanges.bind(EVENT_LOG, EVENTS_EXCHANGE, "#")

    async def connect(self, _url: str, _name: str) -> AbstractConnection:
        """Open a connection; pass this method to a subscriber as ``connect``."""
        if self.is_down:
            raise AMQPConnectionError("refused")
        self.connections.append(InProcessConnection(self.exchanges))
        return cast("AbstractConnection", self.connections[-1])

    @contextlib.asynccontextmanager
    async def running(self, *subscribers: "Subscriber", within: float = 5.0) -> AsyncIterator[None]:
        """Run subscribers on this bus while the context is entered."""
        for subscriber in subscribers:
            subscriber.connect, subscriber.clock = self.connect, self._clock()
        tasks = [asyncio.create_task(subscriber.run()) for subscriber in subscribers]
        try:
            async with asyncio.timeout(within):
                await asyncio.gather(*(subscriber.consuming.wait() for subscriber in subscribers))
            yield
        finally:
            for subscriber, task in zip(subscribers, tasks, strict=True):
                if not task.done():  # a run that has ended would leave the request to the next one
                    subscriber.stop()
            await asyncio.gather(*tasks)

    def _clock(self) -> Clock:
        """Return one clock for all subscribers, which also keeps the time of an event loop with virtual time."""
        self._shared_clock = self._shared_clock or wall_clock()
        return self._shared_clock

    async def publish(self, *events: CloudEvent) -> None:
        """Publish events in order."""
        for event in events:
            self.exchanges.publish(EVENTS_EXCHANGE, event.routing_key, event.data, to_headers(event))

    async def settled(self, subscriber: "Subscriber", within: float = 5.0) -> None:
        """Wait until the subscriber has handled, parked or dead-lettered every event of its queue."""
        queue = self.exchanges.queues[subscriber.queue]
        clock = asyncio.get_running_loop().time
        deadline = clock() + within
        while queue.unsettled:
            assert clock() < deadline, f"{queue.unsettled} events of {subscriber.queue} are not settled"
            await asyncio.sleep(POLL)

    def dead_letters(self, queue: str) -> list[dict[str, Any]]:
        """Return the headers of a subscriber's dead letters, which say why they died."""
        return self._headers(SubscriberNames(queue).dead)

    def parked(self, queue: str) -> int:
        """Return the number of messages in a subscriber's parked queue, without its baton."""
        found = self.exchanges.queues[SubscriberNames(queue).parked]
        held = [message for each in found.consumers for message in each.unacknowledged.values()]
        return sum("parley-baton" not in message.headers for message in [*found.ready, *held])

    def disconnect(self) -> None:
        """Close every connection, as a broker that restarts does."""
        connections, self.connections = self.connections, []
        for connection in connections:
            connection.lose()

    def delete_queue(self, queue: str) -> None:
        """Delete a queue with its events."""
        self.exchanges.delete(queue)

    def _headers(self, name: str) -> list[dict[str, Any]]:
        return [message.headers for message in self.exchanges.queues[name].ready]
