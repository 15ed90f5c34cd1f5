"""Subscriptions: a queue, its bindings, and the handler of its events."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from parley_events.cloudevents import CloudEvent

Handler = Callable[[CloudEvent], Awaitable[None]]


class Rejected(Exception):
    """Raised by a handler for an event that it can never handle: the event is dead-lettered without a retry."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """A durable queue, the routing keys bound to it (``*`` is one word, ``#`` any number), and the handler.

    The handler commits before it returns. Within one process, the events of one partition key are handled one at a
    time, in order; replicas share the queue. A failed event is retried, up to ``max_attempts`` attempts in all, then
    dead-lettered. Outages of the handler's own dependencies (``FailurePolicy``) do not count as attempts.
    """

    queue: str
    bindings: tuple[str, ...]
    handler: Handler
    prefetch: int = 32
    max_attempts: int = 10
