"""Event consumer: stores turn events and erases users, in any order of events, committed before acknowledgement."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator

import structlog
from prometheus_client import CollectorRegistry, Counter

from history.change_notifier.notifier import ChangeNotifier
from history.erasure.store import UserDataEraser
from history.projection.store import ForeignTurn, ProjectionStore
from parley.messaging.bus import Bus
from parley.process.timeouts import at_most
from parley_events.cloudevents import CloudEvent
from parley_events.decoding import decode
from parley_events.models import TurnEnded, TurnStarted, UserErased
from parley_events.subscription import Rejected, Subscription

log = structlog.get_logger()

QUEUE = "history.turns"
BINDINGS = ("conversation.turn.*", "user.erased")
COMMIT_TIMEOUT = 15.0
"""Seconds to wait for events in progress to commit when the consumer stops."""


def outcome_counter(registry: CollectorRegistry) -> Counter:
    """Return the counter of handled events."""
    return Counter(
        "history_events_projected_total",
        "Handled events by type and outcome.",
        ["type", "outcome"],
        registry=registry,
    )


class TurnEventHandler:
    """Handles the events of ``QUEUE``.

    ``wake_relay`` tells the outbox relay that an event was stored.
    """

    def __init__(
        self,
        projection: ProjectionStore,
        eraser: UserDataEraser,
        changes: ChangeNotifier,
        *,
        wake_relay: Callable[[], None],
        outcomes: Counter,
    ) -> None:
        self._projection, self._eraser, self._changes = projection, eraser, changes
        self._wake_relay, self._outcomes = wake_relay, outcomes
        self._in_progress = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def handle(self, event: CloudEvent) -> None:
        """Store one event; raises Rejected when a retry cannot succeed."""
        with self._track():
            outcome = await self._apply(event)
        self._outcomes.labels(event.name, outcome).inc()

    async def wait_idle(self, timeout: float = COMMIT_TIMEOUT) -> None:
        """Wait until no event is in progress, at most ``timeout`` seconds."""
        async with at_most(timeout):
            await self._idle.wait()

    async def _apply(self, event: CloudEvent) -> str:
        data = decode(event)
        if isinstance(data, TurnStarted | TurnEnded):
            return await self._project(event, data)
        if isinstance(data, UserErased):
            await self._eraser.erase(event, data)
            self._changes.feed_grew(data.user_id)
            self._wake_relay()
            return "erased"
        return "ignored"

    async def _project(self, event: CloudEvent, data: TurnStarted | TurnEnded) -> str:
        try:
            outcome = await self._projection.project_turn(event, data)
        except ForeignTurn as error:
            log.warning("event_foreign_turn", id=str(event.id))
            raise Rejected("foreign turn or conversation") from error
        if isinstance(data, TurnEnded):
            self._changes.turn_ended(data.turn_id)
        if outcome == "stored":
            self._changes.feed_grew(data.user_id)
            self._wake_relay()
        return outcome

    @contextlib.contextmanager
    def _track(self) -> Iterator[None]:
        self._in_progress += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._in_progress -= 1
            if not self._in_progress:
                self._idle.set()


@contextlib.asynccontextmanager
async def consume_events(bus: Bus, handler: TurnEventHandler) -> AsyncIterator[None]:
    """Consume events for the duration of the context, which ends after the events in progress are committed."""
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(handler.wait_idle)
        await stack.enter_async_context(bus.consume(Subscription(QUEUE, BINDINGS, handler.handle)))
        yield
