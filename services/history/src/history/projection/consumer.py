"""Event consumer: stores turn events and erases users, in any order of events, committed before acknowledgement."""

import asyncio
import contextlib
from collections import Counter as Counts
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from uuid import UUID

import structlog
from prometheus_client import CollectorRegistry, Counter

from history.change_notifier.notifier import ChangeNotifier
from history.erasure.store import UserDataEraser
from history.projection.halves import halves_of
from history.projection.store import ProjectionOutcome, ProjectionStore
from history.projection.turn_event import TurnEvent, read_turn_event
from parley.messaging.bus import Bus
from parley.process.timeouts import at_most
from parley_events.cloudevents import CloudEvent
from parley_events.models import UserErased
from parley_events.subscription import Batching, Rejected, Subscription

log = structlog.get_logger()

QUEUE = "history.turns"
BINDINGS = ("conversation.turn.*", "user.erased")
MAX_BATCH = 512
"""Events of a batch at most. Two transactions store the halves of a large one."""
PREFETCH = 3 * MAX_BATCH
"""Events in hand at most: three batches, so that the next one arrives and is prepared while one is stored."""
MAX_PREPARED = 2 * PREFETCH
"""Events that are kept as they were read on their arrival. Those of a lost channel are among them until others come."""
MAX_PREPARED_BYTES = 8_000
"""Bytes of an event that is read on its arrival. A larger one is read with its batch, so that memory is bounded."""
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
        self._prepared: dict[UUID, TurnEvent] = {}
        self._in_progress = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def handle(self, event: CloudEvent) -> None:
        """Store one event; raises Rejected when a retry cannot succeed."""
        with self._track():
            outcome = await self._apply(event)
        self._outcomes.labels(event.name, outcome).inc()

    def prepare(self, event: CloudEvent) -> None:
        """Read an event on its arrival, while the batch before is stored."""
        if len(event.data) <= MAX_PREPARED_BYTES and (turn := _turn_event(event)) is not None:
            self._projection.prepare(turn)
            self._prepared[event.id] = turn
            if len(self._prepared) > MAX_PREPARED:
                del self._prepared[next(iter(self._prepared))]

    async def handle_batch(self, events: Sequence[CloudEvent]) -> Sequence[CloudEvent]:
        """Store the events of turns, and return the events that have to be handled one by one.

        A large batch is stored in two transactions. The events of one that fails are returned. Raise an exception if
        nothing is stored.
        """
        with self._track():
            turns = [turn for event in events if (turn := self._take(event)) is not None]
            stored = await self._project_halves(halves_of(turns)) if turns else set()
        return [event for event in events if event.id not in stored]

    async def wait_idle(self, timeout: float = COMMIT_TIMEOUT) -> None:
        """Wait until no event is in progress, at most ``timeout`` seconds."""
        async with at_most(timeout):
            await self._idle.wait()

    async def _apply(self, event: CloudEvent) -> str:
        data = read_turn_event(event)
        if isinstance(data, TurnEvent):
            outcome = (await self._projection.project_turns([data], wait=True))[0]
            if outcome == "foreign":
                log.warning("event_foreign_turn", id=str(event.id))
                raise Rejected("foreign turn or conversation")
            self._announce(data, outcome)
            return outcome
        if isinstance(data, UserErased):
            await self._eraser.erase(event, data)
            self._changes.feed_grew(data.user_id)
            self._wake_relay()
            return "erased"
        return "ignored"

    async def _project_halves(self, halves: Sequence[Sequence[TurnEvent]]) -> set[UUID]:
        results = await asyncio.gather(*map(self._project, halves), return_exceptions=True)
        errors = [result for result in results if isinstance(result, BaseException)]
        if len(errors) == len(results):
            raise errors[0]
        for error in errors:
            log.warning("half_of_batch_failed", error=type(error).__name__)
        return set().union(*(result for result in results if not isinstance(result, BaseException)))

    async def _project(self, turns: Sequence[TurnEvent]) -> set[UUID]:
        """Store events of turns; return the ids of those that need nothing more."""
        outcomes = await self._projection.project_turns(turns, wait=False)
        stored: set[UUID] = set()
        counts = Counts[tuple[str, str]]()
        for turn, outcome in zip(turns, outcomes, strict=True):
            if outcome not in {"foreign", "busy"}:
                stored.add(turn.event.id)
                self._announce(turn, outcome)
                counts[turn.event.name, outcome] += 1
        for labels, count in counts.items():
            self._outcomes.labels(*labels).inc(count)
        return stored

    def _take(self, event: CloudEvent) -> TurnEvent | None:
        prepared = self._prepared.pop(event.id, None)
        return prepared if prepared is not None and prepared.event is event else _turn_event(event)

    def _announce(self, turn: TurnEvent, outcome: ProjectionOutcome) -> None:
        if turn.is_end:
            self._changes.turn_ended(UUID(turn.turn_id))
        if outcome == "stored":
            self._changes.feed_grew(turn.user)
            self._wake_relay()

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
    batching = Batching(handler.handle_batch, MAX_BATCH, prepare=handler.prepare)
    subscription = Subscription(QUEUE, BINDINGS, handler.handle, prefetch=PREFETCH, batching=batching)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(handler.wait_idle)
        await stack.enter_async_context(bus.consume(subscription))
        yield


def _turn_event(event: CloudEvent) -> TurnEvent | None:
    """Return the turn event; None unless it is a valid one."""
    try:
        found = read_turn_event(event)
    except Rejected:
        return None
    return found if isinstance(found, TurnEvent) else None
