r"""Subscriber for services outside of Parley: typed handlers on a durable queue, and replay of the event log.

    subscriber = Subscriber("amqp://team:…@rabbit/", queue="sub.team.answers")

    @subscriber.on(TurnEnded)
    async def store(turn: TurnEnded, event: CloudEvent) -> None: ...

    await subscriber.run()

Events are delivered at least once: deduplicate by ``event.id``. The broker user needs these permissions: configure and
write ``^sub\.``, read ``^(sub\.|parley\.(events|log)$)``.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, TypeVar

from parley_events.cloudevents import CloudEvent
from parley_events.connection import SupervisedConnection
from parley_events.consumer import QueueConsumer
from parley_events.decoding import decode_as
from parley_events.dispatcher import KeyedDispatcher
from parley_events.failure_policy import ErrorTypes, FailurePolicy
from parley_events.models import EventData
from parley_events.replay import LogReplay, Start
from parley_events.subscription import Subscription
from parley_events.tasks import running
from parley_events.topology import QueueType, external_subscriber_queue_arguments

QUEUE_PREFIX = "sub."

E = TypeVar("E", bound=EventData)
TypedHandler: TypeAlias = Callable[[E, CloudEvent], Awaitable[None]]


class Subscriber:
    """Calls typed handlers with events; events without a handler for their type and version are skipped.

    ``queue`` is the name of a durable queue and starts with ``sub.``. Its size is limited: if it is not consumed for
    too long, the broker drops the oldest events, which can be replayed.

    A failed event is retried, up to ``max_attempts`` attempts in all, then logged and skipped. ``outages`` are the
    errors that handlers raise while a dependency of their own is unavailable: they do not count as attempts.
    """

    def __init__(
        self,
        url: str,
        queue: str,
        *,
        prefetch: int = 32,
        max_attempts: int = 10,
        queue_type: QueueType = "classic",
        outages: ErrorTypes = (ConnectionError, TimeoutError),
    ) -> None:
        if not queue.startswith(QUEUE_PREFIX):
            raise ValueError(f"The queue {queue!r} does not start with {QUEUE_PREFIX!r}. Choose another name.")
        self._url, self._queue, self._queue_type = url, queue, queue_type
        self._prefetch, self._max_attempts = prefetch, max_attempts
        self._policy = FailurePolicy(outages)
        self._handlers: dict[tuple[str, int], tuple[type[EventData], TypedHandler[Any]]] = {}
        self.consuming = asyncio.Event()
        """Set while events are delivered."""

    def on(self, model: type[E]) -> Callable[[TypedHandler[E]], TypedHandler[E]]:
        """Register the handler of a model's events, which is called with the data and the envelope."""

        def register(handler: TypedHandler[E]) -> TypedHandler[E]:
            for name in model.names:
                self._handlers[name, model.schema_version] = (model, handler)
            return handler

        return register

    async def run(self) -> None:
        """Consume until cancelled; while the broker is unavailable, keep trying to connect."""
        bindings = tuple(sorted({name for name, _ in self._handlers}))
        subscription = Subscription(self._queue, bindings, self.handle, self._prefetch, self._max_attempts)
        connection = SupervisedConnection(self._url, name=self._queue)
        arguments = external_subscriber_queue_arguments(self._queue_type)
        dispatcher = KeyedDispatcher(subscription, self._policy)
        consumer = QueueConsumer(connection, subscription, arguments, dispatcher)
        async with running(connection.run, consumer.run):
            try:
                await consumer.wait_consuming(None)
                self.consuming.set()
                await asyncio.Event().wait()
            finally:
                self.consuming.clear()
                await consumer.stop()

    async def replay(self, since: Start = "first", *, idle: float = 2.0) -> int:
        """Call the handlers with the events of the log, oldest first; return the offset at which to continue.

        ``since`` is a time, an offset that an earlier call returned, or ``first``. The replay ends when no event
        arrives for ``idle`` seconds, or with a handler's exception, whose note names the event's offset.
        """
        return await LogReplay(self._url, self.handle).run(since, idle=idle)

    async def handle(self, event: CloudEvent) -> None:
        """Call the handler of one event. Raise ``Rejected`` if the data does not fit the handler's model."""
        found = self._handlers.get((event.name, event.version))
        if found is None:
            return
        model, handler = found
        await handler(decode_as(model, event), event)
