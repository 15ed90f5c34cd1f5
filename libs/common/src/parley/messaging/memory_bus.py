"""In-memory bus, for `make run` and for tests.

Events are encoded and decoded as by a broker. ``publish`` returns, like a broker's confirm, after every subscriber's
handler has committed. While a declared queue has no consumer, ``publish`` is refused, so that the outbox keeps the
event. There is no event log, and processes outside cannot subscribe.
"""

import asyncio
import contextlib
import contextvars
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterable, Sequence

import structlog

from parley.messaging.bus import DEAD_LETTERS, BusDown, PublishError
from parley.messaging.outages import SERVICE_FAILURE_POLICY
from parley_events.cloudevents import CloudEvent, round_trip
from parley_events.consuming.failure_policy import HANDLER_TIMEOUT, FailurePolicy, HandlerTimeout
from parley_events.routing import matches
from parley_events.subscription import Subscription

log = structlog.get_logger()

MAX_DEAD_LETTERS = 1000


class MemoryBus:
    """Calls the handlers of matching subscriptions directly."""

    def __init__(self, queues: Iterable[str] = (), *, policy: FailurePolicy = SERVICE_FAILURE_POLICY) -> None:
        """``queues`` are the queues that need a consumer before an event counts as published."""
        self._declared, self._policy = frozenset(queues), policy
        self._consumers: dict[str, Subscription] = {}
        self._bindings: dict[str, set[str]] = {}
        self._attempts: dict[tuple[str, str], int] = defaultdict(int)
        self._locks: dict[tuple[str, str], _CountedLock] = {}
        self.dead_letters: deque[tuple[str, CloudEvent]] = deque(maxlen=MAX_DEAD_LETTERS)
        """The newest dead-lettered events, each with the name of its queue."""

    async def publish(self, event: CloudEvent) -> None:
        """Hand the event to every matching subscriber. Raise ``PublishError`` unless all handlers have committed."""
        missing = self._declared - self._consumers.keys()
        if missing:
            raise BusDown(f"These queues have no consumer yet: {', '.join(sorted(missing))}.")
        received = round_trip(event)
        matching = [queue for queue in self._consumers if self._is_bound(queue, event)]
        outcomes = await asyncio.gather(*(self._deliver(self._consumers[queue], received) for queue in matching))
        if not all(outcomes):
            raise PublishError("A subscriber failed. Publish the event again.")

    @contextlib.asynccontextmanager
    async def consume(self, subscription: Subscription) -> AsyncIterator[None]:
        """Hand matching events to the handler while the context is entered."""
        queue, bindings = subscription.queue, await subscription.current_bindings()
        if queue in self._consumers:
            raise ValueError(f"The queue {queue} already has a consumer.")
        self._bindings.setdefault(queue, set()).update(bindings)
        self._consumers[queue] = subscription
        try:
            yield
        finally:
            del self._consumers[queue]

    async def bind(self, queue: str, routing_key: str) -> None:
        """Bind a consumed queue to more events. Raise ``BusDown`` if nothing consumes it."""
        if queue not in self._consumers:
            raise BusDown(f"The queue {queue} has no consumer yet.")
        self._bindings[queue].add(routing_key)

    async def ping(self) -> None:
        """Return: the bus is available while its process runs."""

    async def waiting(self, queues: Sequence[str]) -> dict[str, int]:
        """Return 0 for queues with a consumer, since events wait in the outbox, and the number of dead letters."""
        found = {**dict.fromkeys(self._consumers, 0), DEAD_LETTERS: len(self.dead_letters)}
        return {queue: found[queue] for queue in queues if queue in found}

    def _is_bound(self, queue: str, event: CloudEvent) -> bool:
        return any(matches(binding, event.routing_key) for binding in self._bindings[queue])

    async def _deliver(self, subscription: Subscription, event: CloudEvent) -> bool:
        key = (subscription.queue, event.partition_key)
        lock = self._locks.setdefault(key, _CountedLock())
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
                # A new context: the handler must not inherit the publisher's context variables.
                await asyncio.create_task(_call(subscription, event), context=contextvars.Context())
        except Exception as error:  # noqa: BLE001 - the failure policy classifies whatever a handler raises
            return self._fail(subscription, event, attempt, HandlerTimeout() if limit.expired() else error)
        self._attempts.pop(attempt, None)
        return True

    def _fail(self, subscription: Subscription, event: CloudEvent, attempt: tuple[str, str], error: Exception) -> bool:
        """Count a failed attempt; return whether it was the last."""
        self._attempts[attempt] += self._policy.uses_attempt(error)
        permanent = self._policy.is_permanent(error, self._attempts[attempt], subscription.max_attempts)
        log.warning(
            "event_dead_lettered" if permanent else "event_retried",
            queue=subscription.queue,
            type=event.type,
            id=str(event.id),
            attempt=self._attempts[attempt],
            reason=type(error).__name__,
        )
        if permanent:
            self.dead_letters.append((subscription.queue, event))
            self._attempts.pop(attempt, None)
        return permanent


class _CountedLock(asyncio.Lock):
    """A lock that counts its users, so that it can be deleted after the last."""

    users = 0


async def _call(subscription: Subscription, event: CloudEvent) -> None:
    await subscription.handler(event)
