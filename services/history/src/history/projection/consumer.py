"""What history does with events: idempotent, in any order, committed before it returns."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import orjson
import structlog
from prometheus_client import CollectorRegistry, Counter

from history.changes.notifier import Changes
from history.conversations.store import ForeignTurn, Hint, Projection
from parley.messaging.bus import Bus
from parley_events.cloudevents import CloudEvent
from parley_events.models import EventData, TurnEnded, TurnStarted, UserErased, model_of
from parley_events.subscription import Rejected, Subscription

log = structlog.get_logger()

QUEUE = "history.turns"
BINDINGS = ("conversation.turn.*", "user.erased")
LAST_WORDS = 15.0
"""Seconds that events in hand get to commit when the consumer stops."""


def outcomes_counter(registry: CollectorRegistry) -> Counter:
    """Return the metric of what became of events."""
    return Counter(
        "history_events_projected_total", "Events by what became of them.", ["type", "outcome"], registry=registry
    )


class Handlers:
    """Handles the events of ``QUEUE``."""

    def __init__(self, projection: Projection, changes: Changes, *, hint: Hint, outcomes: Counter) -> None:
        """Take what stores events, who waits for them, and the relay's hint."""
        self._projection, self._changes, self._hint, self._outcomes = projection, changes, hint, outcomes
        self._in_hand = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def handle(self, event: CloudEvent) -> None:
        """Store one event; raises Rejected when that can never succeed."""
        with self._counted():
            outcome = await self._apply(event)
        self._outcomes.labels(event.name, outcome).inc()

    async def idle(self, timeout: float = LAST_WORDS) -> None:
        """Wait until no event is in hand."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._idle.wait()

    async def _apply(self, event: CloudEvent) -> str:
        data = read(event)
        if isinstance(data, TurnStarted | TurnEnded):
            return await self._turn(event, data)
        if isinstance(data, UserErased):
            await self._projection.erase(event, data)
            self._changes.feed_grew(data.user_id)
            self._hint()
            return "erased"
        return "ignored"

    async def _turn(self, event: CloudEvent, data: TurnStarted | TurnEnded) -> str:
        try:
            outcome = await self._projection.project_turn(event, data)
        except ForeignTurn as error:
            log.warning("event names somebody else's turn or conversation", id=str(event.id))
            raise Rejected("foreign turn or conversation") from error
        if isinstance(data, TurnEnded):
            self._changes.turn_ended(data.turn_id)
        if outcome == "stored":
            self._changes.feed_grew(data.user_id)
            self._hint()
        return outcome

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        self._in_hand += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._in_hand -= 1
            if not self._in_hand:
                self._idle.set()


@contextlib.asynccontextmanager
async def consumer(bus: Bus, handlers: Handlers) -> AsyncIterator[None]:
    """Consume events while the context is entered; at its end those in hand are committed first."""
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(handlers.idle)
        await stack.enter_async_context(bus.consume(Subscription(QUEUE, BINDINGS, handlers.handle)))
        yield


def read(event: CloudEvent) -> EventData | None:
    """Return the data of an event, None when its type or version is not known; raises Rejected when it is malformed."""
    model = model_of(event.name, event.version)
    if model is None:
        return None
    try:
        return model.model_validate(_storable(_parsed(event.data)))
    except (ValueError, RecursionError) as error:
        log.warning("malformed event", type=event.type, id=str(event.id))
        raise Rejected("malformed data") from error


def _parsed(data: bytes) -> Any:
    """Read JSON; orjson refuses half a surrogate pair, and a turn must not be lost for that."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return json.loads(data)


def _storable(value: Any) -> Any:
    """Replace what JSON can hold and Postgres cannot: NUL and halves of surrogate pairs."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_storable(entry) for entry in value]
    if isinstance(value, dict):
        return {_storable(name): _storable(entry) for name, entry in value.items()}
    return value
