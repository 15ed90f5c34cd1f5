"""Keyed dispatcher: handles deliveries in order within a partition key, and different keys concurrently."""

import asyncio
import contextvars
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from parley_events.cloudevents import CloudEvent, MalformedEvent, from_headers
from parley_events.consuming.acknowledgement import send
from parley_events.consuming.failure_policy import HANDLER_TIMEOUT, FailurePolicy, HandlerTimeout
from parley_events.consuming.received_messages import ReceivedMessage
from parley_events.subscription import Subscription
from parley_events.waiting import at_most

log = logging.getLogger(__name__)

FIRST_RETRY_DELAY, MAX_RETRY_DELAY = 0.1, 2.0
"""Seconds between two attempts at one event: doubled after each attempt, up to the maximum."""

Outcome = Literal["handled", "retried", "dead"]
OutcomeObserver = Callable[[Outcome, CloudEvent | None], None]
"""Called after each attempt; the event is None if the message is malformed."""


def ignore_outcome(_outcome: Outcome, _event: CloudEvent | None) -> None:
    """Observe nothing."""


def without_errors(observe: OutcomeObserver) -> OutcomeObserver:
    """Return an observer whose errors are logged: they say nothing about the event."""

    def observed(outcome: Outcome, event: CloudEvent | None) -> None:
        try:
            observe(outcome, event)
        except Exception:
            log.exception("outcome_not_observed")

    return observed


@dataclass(slots=True)
class Delivery:
    """A message that is not acknowledged yet."""

    message: ReceivedMessage
    event: CloudEvent
    attempts: int = 0
    is_answered: bool = False
    """Whether it was acknowledged or rejected."""

    @property
    def is_stale(self) -> bool:
        """Whether the message's channel is closed: the broker delivers the message again."""
        return bool(self.message.channel.is_closed)


class KeyedDispatcher:
    """Hands the deliveries of one consumer to the subscription's handler.

    The prefetch count of the channel limits the number of deliveries. A failed event is retried here instead of being
    requeued: a requeued message would lose its position before later events of its key, and a quorum queue counts every
    redelivery.
    """

    def __init__(
        self,
        subscription: Subscription,
        policy: FailurePolicy,
        *,
        on_outcome: OutcomeObserver = ignore_outcome,
        new_context: Callable[[], contextvars.Context] = contextvars.Context,
    ) -> None:
        """``new_context`` makes the context in which the handler runs; it does not inherit the connection's."""
        self._subscription, self._policy = subscription, policy
        self._on_outcome, self._new_context = on_outcome, new_context
        self._deliveries: dict[str, deque[Delivery]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self.unfinished = 0
        """Number of messages that are not acknowledged or rejected, and that the broker does not deliver again."""

    def has_key(self, key: str) -> bool:
        """Return whether events of the partition key wait or are being handled."""
        return key in self._deliveries

    async def dispatch(self, message: ReceivedMessage) -> None:
        """Queue a message behind the earlier messages of its partition key."""
        try:
            event = from_headers(message.headers, message.body)
        except MalformedEvent as error:
            await self.reject_malformed(message, error)
        else:
            self.queue(Delivery(message, event))

    async def reject_malformed(self, message: ReceivedMessage, error: MalformedEvent) -> None:
        """Dead-letter a message that is no event."""
        log.error("message_malformed", extra={"queue": self._subscription.queue, "reason": str(error)})
        self._on_outcome("dead", None)
        self.unfinished += 1
        try:
            await send(message.reject(requeue=False))
        finally:
            self.unfinished -= 1

    def queue(self, delivery: Delivery) -> None:
        """Queue a delivery behind the earlier ones of its partition key."""
        self.unfinished += 1
        key = delivery.event.partition_key
        waiting = self._deliveries.get(key)
        if waiting is not None:
            waiting.append(delivery)
            return
        self._deliveries[key] = deque([delivery])
        task = asyncio.create_task(self._handle_key(key), context=self._new_context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def reset(self) -> None:
        """Forget the deliveries of a lost channel; running handlers finish."""
        for deliveries in self._deliveries.values():
            while len(deliveries) > 1:
                deliveries.pop()
                self.unfinished -= 1

    async def stop(self, timeout: float) -> None:
        """Start no more handlers, and cancel those that still run after ``timeout`` seconds."""
        self._stopping.set()
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=timeout)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _handle_key(self, key: str) -> None:
        deliveries = self._deliveries[key]
        try:
            while deliveries:
                await self._handle(deliveries[0])
                delivery = deliveries.popleft()
                self.unfinished -= delivery.is_answered or delivery.is_stale
        finally:
            del self._deliveries[key]

    async def _handle(self, delivery: Delivery) -> None:
        delay = FIRST_RETRY_DELAY
        while not self._stopping.is_set() and not delivery.is_stale:
            error = await self._attempt(delivery.event)
            if error is None:
                return await self._acknowledge(delivery)
            delivery.attempts += self._policy.uses_attempt(error)
            if self._policy.is_permanent(error, delivery.attempts, self._subscription.max_attempts):
                return await self._dead_letter(delivery, error)
            self._note_retry(delivery, error, delay)
            await self._wait_unless_stopping(delay)
            delay = min(delay * 2, MAX_RETRY_DELAY)
        return None

    async def _attempt(self, event: CloudEvent) -> Exception | None:
        try:
            async with asyncio.timeout(HANDLER_TIMEOUT) as limit:
                await self._subscription.handler(event)
        except Exception as error:  # noqa: BLE001 - the failure policy classifies every error of a handler
            return HandlerTimeout() if limit.expired() else error
        return None

    async def _acknowledge(self, delivery: Delivery) -> None:
        self._on_outcome("handled", delivery.event)
        await send(delivery.message.ack())
        delivery.is_answered = True

    async def _dead_letter(self, delivery: Delivery, error: Exception) -> None:
        self._on_outcome("dead", delivery.event)
        log.error("event_dead_lettered", extra=self._describe(delivery, error))
        await send(delivery.message.reject(requeue=False))
        delivery.is_answered = True

    def _note_retry(self, delivery: Delivery, error: Exception, delay: float) -> None:
        self._on_outcome("retried", delivery.event)
        log.warning("event_retried", extra={"retry_in_s": delay, **self._describe(delivery, error)})

    def _describe(self, delivery: Delivery, error: Exception) -> dict[str, object]:
        event = delivery.event
        return {
            "queue": self._subscription.queue,
            "type": event.type,
            "id": str(event.id),
            "key": event.partition_key,
            "sequence": event.sequence,
            "attempt": delivery.attempts,
            "reason": type(error).__name__,
        }

    async def _wait_unless_stopping(self, seconds: float) -> None:
        async with at_most(seconds):
            await self._stopping.wait()
