r"""The kit for services outside of Parley: typed handlers on a queue of their own, and replay from the event log.

    subscriber = Subscriber("amqp://team:…@rabbit/", queue="sub.team.answers")

    @subscriber.on(TurnEnded)
    async def store(turn: TurnEnded, event: CloudEvent) -> None: ...

    await subscriber.run()

Events come at least once: deduplicate by ``event.id``. The broker's user needs: configure and write ``^sub\.``, read
``^(sub\.|parley\.(events|log)$)``.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Literal, TypeAlias, TypeVar

import structlog
from aio_pika.abc import AbstractConnection
from pydantic import ValidationError

from parley.process.tasks import background
from parley_events.cloudevents import CloudEvent
from parley_events.connection import Link
from parley_events.consumer import Consumer
from parley_events.models import EventData
from parley_events.replay import Replay
from parley_events.subscription import Rejected, Subscription
from parley_events.topology import QueueType, stranger_arguments

log = structlog.get_logger()

PREFIX = "sub."

E = TypeVar("E", bound=EventData)
TypedHandler: TypeAlias = Callable[[E, CloudEvent], Awaitable[None]]
Since: TypeAlias = datetime | int | Literal["first"]


class Subscriber:
    """Hands events to typed handlers. An event of a type or version without a handler is acknowledged and skipped."""

    def __init__(
        self, url: str, queue: str, *, prefetch: int = 32, max_attempts: int = 10, queue_type: QueueType = "classic"
    ) -> None:
        """Take the broker's URL and the name of the durable queue, which begins with ``sub.``.

        A handler that fails is asked again, ``max_attempts`` times in all; then the event is logged and left, and can
        be replayed. The queue is bounded: its oldest events are dropped when nobody takes them for too long.
        """
        if not queue.startswith(PREFIX):
            raise ValueError(f"the queue of a subscriber begins with {PREFIX}")
        self._url, self._queue, self._queue_type = url, queue, queue_type
        self._prefetch, self._max_attempts = prefetch, max_attempts
        self._handlers: dict[tuple[str, int], tuple[type[EventData], TypedHandler[Any]]] = {}
        self.consuming = asyncio.Event()
        """Set once events are delivered."""

    def on(self, model: type[E]) -> Callable[[TypedHandler[E]], TypedHandler[E]]:
        """Register the handler of a model's events; it is given the data and the envelope."""

        def register(handler: TypedHandler[E]) -> TypedHandler[E]:
            for name in model.names:
                self._handlers[name, model.schema_version] = (model, handler)
            return handler

        return register

    async def run(self) -> None:
        """Consume until cancelled; a broker that is away is waited for."""
        bindings = tuple(sorted({name for name, _ in self._handlers}))
        subscription = Subscription(self._queue, bindings, self.handle, self._prefetch, self._max_attempts)
        link = Link(self._url, name=self._queue, prepare=_nothing)
        arguments = stranger_arguments(self._queue_type)
        consumer = Consumer(link, subscription, arguments, service=self._queue, observe=_unobserved)
        async with background("connection", link.run), background("consumer", consumer.run):
            try:
                await consumer.wait_consuming(None)
                self.consuming.set()
                await asyncio.Event().wait()
            finally:
                self.consuming.clear()
                await consumer.stop()

    async def replay(self, since: Since = "first", *, idle: float = 2.0) -> int:
        """Hand the log's events to the handlers, oldest first; return the offset at which to go on next time.

        ``since`` is a time, an offset that an earlier call returned, or ``first``. Ends when nothing came for ``idle``
        seconds. A handler's exception ends it too, with the event's offset in its notes.
        """
        return await Replay(self._url, self.handle).run(since, idle=idle)

    async def handle(self, event: CloudEvent) -> None:
        """Hand one event to its handler."""
        found = self._handlers.get((event.name, event.version))
        if found is None:
            return
        model, handler = found
        try:
            data = model.model_validate_json(event.data)
        except ValidationError as error:
            raise Rejected(f"{event.type} {event.id} does not fit its model") from error
        await handler(data, event)


async def _nothing(_connection: AbstractConnection) -> None:
    """Declare nothing: exchanges are Parley's."""


def _unobserved(_outcome: str, _event: CloudEvent | None) -> None:
    """Measure nothing."""
