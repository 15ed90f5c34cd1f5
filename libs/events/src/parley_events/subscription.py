"""What a bus does. Both adapters pass ``parley_testing.contracts.bus``."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from parley_events.cloudevents import CloudEvent

Handler = Callable[[CloudEvent], Awaitable[None]]


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
