"""Bus interface, implemented in memory and on RabbitMQ."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from parley_events.cloudevents import CloudEvent
from parley_events.subscription import Subscription

SERVICE_QUEUES = ("auth.erasures", "chat.lifecycle", "history.turns", "webhooks.events")
"""The queues of Parley's own services; each begins with the name of its service."""
DEAD_LETTERS = "parley.dead"
"""The exchange of all services' dead letters, and the queue bound to it."""


class PublishError(Exception):
    """The bus did not confirm an event. The event may have been delivered: publish it again."""


class BusDown(PublishError):
    """The bus accepts no events at the moment: publishing other events fails too."""

    def __init__(self, message: str = "", *, detail: str = "unavailable") -> None:
        """``detail`` is shown in ``/status``: no addresses, and no text of the broker."""
        super().__init__(message)
        self.status_detail = detail


class Bus(Protocol):
    """Delivers events at least once, and in order within each partition key."""

    async def publish(self, event: CloudEvent) -> None:
        """Return after the event is stored safely. Raise ``PublishError`` if the bus does not confirm it in time."""
        ...

    def consume(self, subscription: Subscription) -> AbstractAsyncContextManager[None]:
        """Hand events to the subscription's handler while the context is entered."""
        ...

    async def bind(self, queue: str, routing_key: str) -> None:
        """Bind a consumed queue to the events that follow with this key. Raise ``BusDown`` unless it is confirmed."""
        ...

    async def ping(self) -> None:
        """Raise an exception if the bus is unavailable."""
        ...

    async def waiting(self, queues: Sequence[str]) -> dict[str, int]:
        """Return the number of events that wait in each of the queues that exist. Raise ``BusDown`` in an outage."""
        ...
