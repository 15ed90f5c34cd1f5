"""The bus inside one process: for the embedded default and for tests.

Events are encoded and decoded as on a wire, and ``publish`` returns, like a broker's confirm, when every subscriber's
handler has committed. A declared queue without a consumer refuses, so that the outbox keeps the event until somebody
listens. There is no log to replay from, and nobody outside the process can listen.
"""

import asyncio
import contextlib
import contextvars
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterable

import structlog

from parley.messaging.bus import BusDown, PublishError
from parley.messaging.routing import matches
from parley_events.cloudevents import CloudEvent, through_the_wire
from parley_events.failure_policy import HandlerTimeout, is_final, is_outage
from parley_events.subscription import Subscription

log = structlog.get_logger()

HANDLER_TIMEOUT = 60.0
MAX_DEAD = 1000


class MemoryBus:
    """A bus whose broker is a dictionary."""

    def __init__(self, queues: Iterable[str] = ()) -> None:
        """Declare the queues that must have a consumer before an event counts as published."""
        self._declared = frozenset(queues)
        self._consumers: dict[str, Subscription] = {}
        self._attempts: dict[tuple[str, str], int] = defaultdict(int)
        self._locks: dict[tuple[str, str], _Lock] = {}
        self.dead: deque[tuple[str, CloudEvent]] = deque(maxlen=MAX_DEAD)
        """Events that no attempt could handle, with their queue: the newest ``MAX_DEAD``."""

    async def publish(self, event: CloudEvent) -> None:
        """Hand the event to every matching subscriber; raises PublishError unless all have committed."""
        absent = self._declared - self._consumers.keys()
        if absent:
            raise BusDown(f"nobody consumes {', '.join(sorted(absent))} yet")
        received = through_the_wire(event)
        matching = [s for s in self._consumers.values() if any(matches(b, event.routing_key) for b in s.bindings)]
        outcomes = await asyncio.gather(*(self._deliver(s, received) for s in matching))
        if not all(outcomes):
            raise PublishError("a subscriber failed and will be asked again")

    @contextlib.asynccontextmanager
    async def consume(self, subscription: Subscription) -> AsyncIterator[None]:
        """Hand matching events to the handler while the context is entered."""
        if subscription.queue in self._consumers:
            raise ValueError(f"{subscription.queue} has a consumer already")
        self._consumers[subscription.queue] = subscription
        try:
            yield
        finally:
            del self._consumers[subscription.queue]

    async def ping(self) -> None:
        """Return: the bus is as alive as its process."""

    async def _deliver(self, subscription: Subscription, event: CloudEvent) -> bool:
        key = (subscription.queue, event.partition_key)
        lock = self._locks.setdefault(key, _Lock())
        lock.users += 1
        try:
            async with lock:
                return await self._handle(subscription, event)
        finally:
            lock.users -= 1
            if not lock.users:
                self._locks.pop(key, None)

    async def _handle(self, subscription: Subscription, event: CloudEvent) -> bool:
        attempt = (subscription.queue, str(event.id))
        try:
            async with asyncio.timeout(HANDLER_TIMEOUT) as limit:
                # A fresh context: what the publisher's task has bound is none of the subscriber's business.
                await asyncio.create_task(_call(subscription, event), context=contextvars.Context())
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is its verdict on the event
            late = HandlerTimeout(f"more than {HANDLER_TIMEOUT:g} s") if limit.expired() else error
            return self._failed(subscription, event, attempt, late)
        self._attempts.pop(attempt, None)
        return True

    def _failed(
        self, subscription: Subscription, event: CloudEvent, attempt: tuple[str, str], error: Exception
    ) -> bool:
        self._attempts[attempt] += not is_outage(error)
        last = is_final(error, self._attempts[attempt], subscription.max_attempts)
        log.warning(
            "event not handled",
            queue=subscription.queue,
            type=event.type,
            id=str(event.id),
            attempt=self._attempts[attempt],
            dead=last,
            reason=type(error).__name__,
        )
        if last:
            self.dead.append((subscription.queue, event))
            self._attempts.pop(attempt, None)
        return last


class _Lock(asyncio.Lock):
    """A lock that knows how many want it, so that it can be forgotten when nobody does."""

    users = 0


async def _call(subscription: Subscription, event: CloudEvent) -> None:
    await subscription.handler(event)
