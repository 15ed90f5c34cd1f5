"""What a bus does. Both adapters pass ``parley_testing.bus_contract``."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from parley_events.cloudevents import CloudEvent

Handler = Callable[[CloudEvent], Awaitable[None]]


class PublishError(Exception):
    """The bus did not confirm an event: it may or may not arrive; publish it again."""


class BusDown(PublishError):
    """The bus takes no event at all right now: there is no point in trying the next one."""


class Rejected(Exception):
    """Raise in a handler: this event can never be handled, put it with the dead letters now."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """A durable queue, the routing keys bound to it (``*`` one word, ``#`` any) and who handles its events.

    The handler commits before it returns; events of one partition key are handled one after the other (within one
    process: replicas share the queue). One that raises is handed out again, ``max_attempts`` times in all, then goes
    to the dead letters. An outage of a dependency (see ``parley_events.failure_policy``) does not count as an attempt.
    """

    queue: str
    bindings: tuple[str, ...]
    handler: Handler
    prefetch: int = 32
    max_attempts: int = 10


class Bus(Protocol):
    """Publishes events and hands them to subscribers: at least once, in order for each partition key."""

    async def publish(self, event: CloudEvent) -> None:
        """Return when the event is safe; raises PublishError when that cannot be known in time."""
        ...

    def consume(self, subscription: Subscription) -> AbstractAsyncContextManager[None]:
        """Hand events to the subscription's handler while the context is entered."""
        ...

    async def ping(self) -> None:
        """Raise when the bus cannot be reached."""
        ...
