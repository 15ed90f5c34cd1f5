"""Subscriptions: a queue, its bindings, and the handler of its events."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from parley_events.cloudevents import CloudEvent

Handler = Callable[[CloudEvent], Awaitable[None]]
BatchHandler = Callable[[Sequence[CloudEvent]], Awaitable[Sequence[CloudEvent]]]
"""Commits the events of a batch, which are in the order of arrival, and returns those that it left out.

If it raises an exception, it has committed none.
"""

UrgencyCheck = Callable[[CloudEvent], bool]
"""Tells whether a batch with the event begins soon. Called for each event on its arrival, before it is handled."""
BindingsSource = Callable[[], Awaitable[Sequence[str]]]
"""Returns routing keys; must not raise."""


class Rejected(Exception):
    """Raised by a handler for an event that it can never handle: the event is dead-lettered without a retry."""


def every_event_is_urgent(_event: CloudEvent) -> bool:
    """Let no event wait for ``max_wait``."""
    return True


def prepare_nothing(_event: CloudEvent) -> None:
    """Do nothing on the arrival of an event."""


async def no_more_bindings() -> Sequence[str]:
    """Return no routing keys."""
    return ()


@dataclass(frozen=True, slots=True)
class Batching:
    """The handler of batches, and the limits of a batch.

    An urgent event is handled at once while the queue is idle. Otherwise a batch begins at the earliest ``interval``
    seconds after the one before, unless it is full. Events that are not urgent wait for an urgent one or for a full
    batch, at most ``max_wait`` seconds.
    """

    handler: BatchHandler
    max_events: int = 128
    max_bytes: int = 1_000_000
    """Bytes of data after which no further event is added."""
    interval: float = 0.02
    is_urgent: UrgencyCheck = every_event_is_urgent
    max_wait: float = 0.05
    """Longer waits can delay the broker's confirm of an event, and with it the next event of its key."""
    prepare: Callable[[CloudEvent], None] = prepare_nothing
    """Called for each event on its arrival, often while the batch before is handled; must not raise.

    Events of a lost connection are not handled, and arrive again.
    """


@dataclass(frozen=True, slots=True)
class Subscription:
    """A durable queue, the routing keys bound to it (``*`` is one word, ``#`` any number), and the handler.

    The handler commits before it returns. Within one process, the events of one partition key are handled one at a
    time, in order; replicas share the queue. A failed event is retried, up to ``max_attempts`` attempts in all, then
    dead-lettered. Outages of the handler's own dependencies (``FailurePolicy``) do not count as attempts.

    With ``single_active``, one replica at a time consumes, which keeps the order of each key over all replicas.

    With ``batching``, a bus that queues events hands them to the handler of batches. ``handler`` gets the events that
    it left out, and the event that made its batch fail. ``prefetch`` should be at least twice the size of a batch.

    While the events in hand have more than ``max_held_bytes`` bytes, the consumer has a lower prefetch.
    """

    queue: str
    bindings: tuple[str, ...]
    handler: Handler
    prefetch: int = 32
    max_attempts: int = 10
    batching: Batching | None = None
    single_active: bool = False
    max_held_bytes: int = 64_000_000
    more_bindings: BindingsSource = no_more_bindings
    """Called each time before the queue is declared: routing keys to bind besides ``bindings``."""

    async def current_bindings(self) -> Sequence[str]:
        """Return all routing keys to bind now."""
        return (*self.bindings, *await self.more_bindings())
