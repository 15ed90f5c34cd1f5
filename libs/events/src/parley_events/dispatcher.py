"""Handling deliveries: one lane for each partition key, in order inside it, the lanes side by side."""

import asyncio
import contextlib
import contextvars
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

import structlog
from aio_pika.abc import AbstractIncomingMessage

from parley_events.cloudevents import CloudEvent, MalformedEvent, from_headers
from parley_events.connection import OUTAGES
from parley_events.failure_policy import HandlerTimeout, is_final, is_outage
from parley_events.subscription import Subscription

log = structlog.get_logger()

HANDLER_TIMEOUT = 60.0
SEND_TIMEOUT = 5.0
"""Seconds that writing an acknowledgement may take."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
"""Seconds between attempts at one event: doubled from the first to the longest."""

Observe = Callable[[str, CloudEvent | None], None]
"""Told each outcome: ``handled``, ``retried`` or ``dead``."""


@dataclass(slots=True)
class Delivery:
    """A message in hand: unacknowledged until its handler has committed."""

    message: AbstractIncomingMessage
    event: CloudEvent
    attempts: int = 0

    @property
    def stale(self) -> bool:
        """Say whether the broker has taken the message back, so that it comes again."""
        return self.message.channel.is_closed


class Lanes:
    """What one consumer has in hand; the broker's prefetch bounds it.

    A failed event is held and tried again here instead of being requeued: that keeps its place before the later events
    of its key, and no broker version counts it.
    """

    def __init__(self, subscription: Subscription, *, service: str, observe: Observe) -> None:
        """Take the subscription, the service's name for logs, and who is told the outcomes."""
        self._subscription, self._service, self._observe = subscription, service, observe
        self._lanes: dict[str, deque[Delivery]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()

    async def take(self, message: AbstractIncomingMessage) -> None:
        """Put a message into its lane."""
        try:
            event = from_headers(message.headers, message.body)
        except MalformedEvent as error:
            log.error("malformed message", queue=self._subscription.queue, reason=str(error))  # noqa: TRY400
            self._observe("dead", None)
            await _send(message.reject(requeue=False))
            return
        lane = self._lanes.get(event.partition_key)
        if lane is not None:
            lane.append(Delivery(message, event))
            return
        self._lanes[event.partition_key] = deque([Delivery(message, event)])
        # A fresh context: what the connection's task has bound is none of the handler's business.
        task = asyncio.create_task(self._work(event.partition_key), context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finish(self, timeout: float) -> None:
        """Start nothing more; give running handlers ``timeout`` seconds, then cancel them."""
        self._stopping.set()
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=timeout)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _work(self, key: str) -> None:
        structlog.contextvars.bind_contextvars(service=self._service)
        lane = self._lanes[key]
        try:
            while lane:
                await self._deliver(lane[0])
                lane.popleft()
        finally:
            del self._lanes[key]

    async def _deliver(self, delivery: Delivery) -> None:
        pause = FIRST_PAUSE
        while not self._stopping.is_set() and not delivery.stale:
            error = await self._attempt(delivery.event)
            if error is None:
                return await self._handled(delivery)
            delivery.attempts += not is_outage(error)
            if is_final(error, delivery.attempts, self._subscription.max_attempts):
                return await self._dead(delivery, error)
            self._failed(delivery, error, pause)
            await self._rest(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
        return None

    async def _attempt(self, event: CloudEvent) -> Exception | None:
        try:
            async with asyncio.timeout(HANDLER_TIMEOUT) as limit:
                await self._subscription.handler(event)
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is its verdict on the event
            return HandlerTimeout(f"more than {HANDLER_TIMEOUT:g} s") if limit.expired() else error
        return None

    async def _handled(self, delivery: Delivery) -> None:
        self._observe("handled", delivery.event)
        await _send(delivery.message.ack())

    async def _dead(self, delivery: Delivery, error: Exception) -> None:
        self._observe("dead", delivery.event)
        log.error("event is dead", **self._describe(delivery, error))
        await _send(delivery.message.reject(requeue=False))

    def _failed(self, delivery: Delivery, error: Exception, pause: float) -> None:
        self._observe("retried", delivery.event)
        log.warning("event not handled", retry_in_s=pause, **self._describe(delivery, error))

    def _describe(self, delivery: Delivery, error: Exception) -> dict[str, object]:
        event = delivery.event
        return {
            "queue": self._subscription.queue,
            "type": event.type,
            "id": str(event.id),
            "attempt": delivery.attempts,
            "reason": type(error).__name__,
        }

    async def _rest(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()


async def _send(answer: Coroutine[object, object, None]) -> None:
    """Send an acknowledgement; one that cannot be sent is no loss, because the broker then delivers again."""
    with contextlib.suppress(*OUTAGES):
        async with asyncio.timeout(SEND_TIMEOUT):
            await answer
