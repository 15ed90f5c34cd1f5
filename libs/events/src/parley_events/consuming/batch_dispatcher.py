"""Batch dispatcher: hands deliveries to a handler of batches, and acknowledges each batch as a whole."""

import asyncio
import contextvars
import logging
from collections import deque
from collections.abc import Callable, Sequence

from parley_events.cloudevents import CloudEvent, MalformedEvent, from_headers
from parley_events.consuming.acknowledgement import send
from parley_events.consuming.dispatcher import (
    FIRST_RETRY_DELAY,
    MAX_RETRY_DELAY,
    Delivery,
    KeyedDispatcher,
    OutcomeObserver,
    ignore_outcome,
)
from parley_events.consuming.failure_policy import HANDLER_TIMEOUT, FailurePolicy, HandlerTimeout
from parley_events.consuming.received_messages import ReceivedMessage
from parley_events.subscription import Batching, Subscription
from parley_events.waiting import at_most

log = logging.getLogger(__name__)


class BatchDispatcher:
    """Hands the deliveries of one consumer to the subscription's handler of batches, one batch at a time.

    A batch that fails is halved. An event that fails alone, and one that the handler of batches left out, goes to the
    subscription's handler through a keyed dispatcher, as do the later events of its key until it is done: so it delays
    and costs no event of another key.
    """

    def __init__(
        self,
        subscription: Subscription,
        batching: Batching,
        policy: FailurePolicy,
        *,
        on_outcome: OutcomeObserver = ignore_outcome,
        new_context: Callable[[], contextvars.Context] = contextvars.Context,
    ) -> None:
        """``new_context`` makes the context in which the handlers run; it does not inherit the connection's."""
        self._queue, self._batching, self._policy = subscription.queue, batching, policy
        self._on_outcome, self._new_context = on_outcome, new_context
        self._single = KeyedDispatcher(subscription, policy, on_outcome=on_outcome, new_context=new_context)
        self._waiting: deque[Delivery] = deque()
        self._waiting_bytes = 0
        self._limit = batching.max_events
        self._task: asyncio.Task[None] | None = None
        self._began = float("-inf")
        self._delay = FIRST_RETRY_DELAY
        self._due, self._full, self._stopping = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def dispatch(self, message: ReceivedMessage) -> None:
        """Add a message to the next batch, or queue it behind the earlier messages of its key that failed."""
        try:
            event = from_headers(message.headers, message.body)
        except MalformedEvent as error:
            await self._single.reject_malformed(message, error)
            return
        self._batching.prepare(event)
        self._waiting.append(Delivery(message, event))
        self._waiting_bytes += len(event.data)
        if len(self._waiting) >= self._limit or self._waiting_bytes >= self._batching.max_bytes:
            self._full.set()
        if self._full.is_set() or self._batching.is_urgent(event):
            self._due.set()
        if self._task is None and not self._stopping.is_set():
            self._task = asyncio.create_task(self._handle_waiting(), context=self._new_context())

    def reset(self) -> None:
        """Forget the deliveries of a lost channel; running handlers finish."""
        self._waiting.clear()
        self._waiting_bytes = 0
        self._due.clear()
        self._full.clear()
        self._single.reset()

    async def stop(self, timeout: float) -> None:
        """Start no more handlers, and cancel those that still run after ``timeout`` seconds."""
        self._stopping.set()
        self._begin_at_once()
        task = self._task
        await asyncio.gather(self._single.stop(timeout), *([_finish(task, timeout)] if task else []))

    async def _handle_waiting(self) -> None:
        try:
            while self._waiting and not self._stopping.is_set():
                await self._wait_for_more()
                if not self._stopping.is_set() and (batch := self._take()):
                    await self._handle(batch)
        finally:
            self._task = None

    def _begin_at_once(self) -> None:
        self._due.set()
        self._full.set()

    async def _wait_for_more(self) -> None:
        if not self._due.is_set():
            async with at_most(self._batching.max_wait):
                await self._due.wait()
        now = asyncio.get_running_loop().time()
        async with at_most(max(0.0, self._began + self._batching.interval - now)):
            await self._full.wait()

    def _take(self) -> list[Delivery]:
        """Return the next batch; deliveries whose key is being handled one by one join that key."""
        self._began = asyncio.get_running_loop().time()
        batch: list[Delivery] = []
        size = 0
        while self._waiting and len(batch) < self._limit and size < self._batching.max_bytes:
            delivery = self._waiting.popleft()
            self._waiting_bytes -= len(delivery.event.data)
            if delivery.is_stale:
                continue
            if self._single.has_key(delivery.event.partition_key):
                self._single.queue(delivery)
                continue
            batch.append(delivery)
            size += len(delivery.event.data)
        if len(self._waiting) < self._limit and self._waiting_bytes < self._batching.max_bytes:
            self._full.clear()
        if not self._waiting:
            self._due.clear()
        return batch

    async def _handle(self, batch: Sequence[Delivery]) -> None:
        left_out, error = await self._attempt([delivery.event for delivery in batch])
        if error is None:
            self._limit = min(self._batching.max_events, 2 * self._limit)
            self._delay = FIRST_RETRY_DELAY
            await self._complete(batch, {event.id for event in left_out})
            return
        log.warning("batch_failed", extra={"queue": self._queue, "events": len(batch), "reason": type(error).__name__})
        if len(batch) == 1:
            self._single.queue(batch[0])
        else:
            self._limit = len(batch) // 2
            self._put_back(batch)
        if not self._policy.uses_attempt(error):
            await self._wait_before_retry()

    async def _attempt(self, events: Sequence[CloudEvent]) -> tuple[Sequence[CloudEvent], Exception | None]:
        try:
            async with asyncio.timeout(HANDLER_TIMEOUT) as limit:
                return await self._batching.handler(events), None
        except Exception as error:  # noqa: BLE001 - the failure policy classifies every error of a handler
            return (), HandlerTimeout() if limit.expired() else error

    async def _complete(self, batch: Sequence[Delivery], left_out: set[object]) -> None:
        """Acknowledge a batch, and queue the deliveries that were left out."""
        handled = [delivery for delivery in batch if delivery.event.id not in left_out]
        for delivery in batch:
            if delivery.event.id in left_out:
                self._single.queue(delivery)
            else:
                self._on_outcome("handled", delivery.event)
        if self._single.unfinished:
            for delivery in handled:
                await send(delivery.message.ack())
        elif handled:
            # Messages are handled in the order of delivery, so all messages before the last one are finished.
            await send(handled[-1].message.ack(multiple=True))

    def _put_back(self, batch: Sequence[Delivery]) -> None:
        self._waiting.extendleft(reversed(batch))
        self._waiting_bytes += sum(len(delivery.event.data) for delivery in batch)
        self._begin_at_once()

    async def _wait_before_retry(self) -> None:
        async with at_most(self._delay):
            await self._stopping.wait()
        self._delay = min(2 * self._delay, MAX_RETRY_DELAY)


async def _finish(task: asyncio.Task[None], timeout: float) -> None:
    await asyncio.wait({task}, timeout=timeout)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
