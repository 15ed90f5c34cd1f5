"""The event handler and the consumer."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry

from history.change_notifier.notifier import ChangeNotifier
from history.projection.consumer import (
    MAX_PREPARED,
    MAX_PREPARED_BYTES,
    TurnEventHandler,
    consume_events,
    outcome_counter,
)
from history.projection.halves import MIN_SPLIT
from history.projection.store import ProjectionOutcome
from history.projection.turn_event import TurnEvent
from history_testing.turn_events import SampleTurn, user_erased
from parley.messaging.memory_bus import MemoryBus
from parley_events.cloudevents import CloudEvent
from parley_events.models import UserErased
from parley_events.subscription import Rejected
from parley_testing import eventually


class FakeProjection:
    """Records events and reports the given outcome; ``release`` holds an event in progress while it is clear."""

    def __init__(self, outcome: ProjectionOutcome = "stored", error: Exception | None = None) -> None:
        self.outcome, self.error = outcome, error
        self.outcomes: dict[UUID, ProjectionOutcome] = {}
        """Outcomes of single events, by id."""
        self.projected: list[CloudEvent] = []
        self.prepared: list[TurnEvent] = []
        self.turns: list[TurnEvent] = []
        self.waits: list[bool] = []
        self.entered = asyncio.Event()
        self.release = asyncio.Event()
        self.release.set()
        self.open_calls = 0
        self.failing: UUID | None = None
        """ID of an event whose calls fail."""

    def prepare(self, event: TurnEvent) -> None:
        self.prepared.append(event)

    async def project_turns(self, events: Sequence[TurnEvent], *, wait: bool) -> list[ProjectionOutcome]:
        self.entered.set()
        self.open_calls += 1
        await self.release.wait()
        self.open_calls -= 1
        if self.error:
            raise self.error
        if self.failing in {event.event.id for event in events}:
            raise OSError("no disk")
        self.turns += events
        self.projected += [event.event for event in events]
        self.waits.append(wait)
        return [self.outcomes.get(event.event.id, self.outcome) for event in events]


class FakeEraser:
    def __init__(self) -> None:
        self.erased: list[UserErased] = []

    async def erase(self, event: CloudEvent, data: UserErased) -> None:
        self.erased.append(data)


class Handling:
    """A handler with its doubles."""

    def __init__(self, projection: FakeProjection | None = None) -> None:
        self.projection, self.eraser, self.changes = projection or FakeProjection(), FakeEraser(), ChangeNotifier()
        self.relay_wakes = 0
        self.registry = CollectorRegistry()
        self.handler = TurnEventHandler(
            self.projection,
            self.eraser,
            self.changes,
            wake_relay=self._wake_relay,
            outcomes=outcome_counter(self.registry),
        )

    def handled(self, event: CloudEvent, outcome: str) -> float:
        labels = {"type": event.name, "outcome": outcome}
        return self.registry.get_sample_value("history_events_projected_total", labels) or 0.0

    def _wake_relay(self) -> None:
        self.relay_wakes += 1


async def test_a_stored_start_wakes_the_feed_and_the_relay_but_no_waiter_for_the_end() -> None:
    handling, turn = Handling(), SampleTurn()
    with handling.changes.watch_turn(turn.turn_id) as ended, handling.changes.watch_feed(turn.user_id) as feed:
        await handling.handler.handle(turn.started())
        assert (ended.is_set(), feed.is_set(), handling.relay_wakes) == (False, True, 1)


async def test_a_stored_end_wakes_the_requests_that_wait_for_the_turn() -> None:
    handling, turn = Handling(), SampleTurn()
    with handling.changes.watch_turn(turn.turn_id) as ended:
        await handling.handler.handle(turn.ended())
        assert ended.is_set()


@pytest.mark.parametrize("outcome", ["unchanged", "usage", "deleted", "erased"])
async def test_an_event_that_adds_nothing_to_the_feed_wakes_no_reader(outcome: ProjectionOutcome) -> None:
    handling, turn = Handling(FakeProjection(outcome)), SampleTurn()
    event = turn.ended()
    with handling.changes.watch_turn(turn.turn_id) as ended, handling.changes.watch_feed(turn.user_id) as feed:
        await handling.handler.handle(event)
        assert (ended.is_set(), feed.is_set(), handling.relay_wakes) == (True, False, 0)
    assert handling.handled(event, outcome) == 1


async def test_an_erasure_deletes_the_user_and_wakes_the_relay() -> None:
    handling, turn = Handling(), SampleTurn()
    with handling.changes.watch_feed(turn.user_id) as feed:
        await handling.handler.handle(user_erased(turn.user_id))
        assert feed.is_set()
    assert [data.user_id for data in handling.eraser.erased] == [turn.user_id]
    assert handling.relay_wakes == 1


async def test_an_event_of_an_unknown_type_or_version_is_counted_as_ignored() -> None:
    handling = Handling()
    newer, other = (
        replace(SampleTurn().ended(), version=2),
        replace(SampleTurn().ended(), name="conversation.turn.moved"),
    )
    for event in (newer, other):
        await handling.handler.handle(event)
        assert handling.handled(event, "ignored") == 1
    assert not handling.projection.projected


async def test_a_batch_is_stored_in_one_call_that_waits_for_no_user() -> None:
    handling, turns = Handling(), [SampleTurn(), SampleTurn()]
    events = [turns[0].started(), turns[0].ended(), turns[1].ended()]
    with handling.changes.watch_turn(turns[1].turn_id) as ended:
        assert await handling.handler.handle_batch(events) == []
        assert ended.is_set()
    assert (handling.projection.projected, handling.projection.waits) == (events, [False])
    assert handling.handled(events[1], "stored") == 2


async def test_a_batch_leaves_out_what_cannot_be_stored_with_it_in_the_order_of_arrival() -> None:
    handling, turn = Handling(), SampleTurn()
    foreign, busy = SampleTurn().ended(), SampleTurn().ended()
    handling.projection.outcomes = {foreign.id: "foreign", busy.id: "busy"}
    malformed, unknown = replace(turn.ended(), data=b"{"), replace(turn.ended(), version=2)
    erased = user_erased(turn.user_id)
    others = [busy, malformed, erased, foreign, unknown]
    for event in others:
        event_before = turn.started()
        assert await handling.handler.handle_batch([event_before, event]) == [event]
    assert await handling.handler.handle_batch(others) == others
    assert not handling.eraser.erased


async def test_a_large_batch_is_stored_in_two_calls_at_the_same_time() -> None:
    handling = Handling()
    events = [SampleTurn().started() for _ in range(MIN_SPLIT)]
    handling.projection.release.clear()
    handled = asyncio.create_task(handling.handler.handle_batch(events))
    await eventually(lambda: handling.projection.open_calls == 2)
    handling.projection.release.set()
    assert await handled == []
    assert len(handling.projection.projected) == MIN_SPLIT


async def test_a_half_that_fails_is_left_out_if_the_other_is_stored() -> None:
    handling = Handling()
    events = [SampleTurn().started() for _ in range(MIN_SPLIT)]
    handling.projection.failing = events[0].id
    left_out = await handling.handler.handle_batch(events)
    assert events[0] in left_out
    assert len(left_out) == len(handling.projection.projected) == MIN_SPLIT // 2
    assert not {event.id for event in left_out} & {event.id for event in handling.projection.projected}


async def test_a_large_batch_of_which_nothing_is_stored_raises_the_error() -> None:
    handling = Handling(FakeProjection(error=OSError("no disk")))
    with pytest.raises(OSError, match="no disk"):
        await handling.handler.handle_batch([SampleTurn().started() for _ in range(MIN_SPLIT)])


async def test_events_are_read_once_when_they_are_prepared_on_arrival() -> None:
    handling, turn = Handling(), SampleTurn()
    events = [turn.started(), turn.ended()]
    for event in events:
        handling.handler.prepare(event)
    assert await handling.handler.handle_batch(events) == []
    assert list(map(id, handling.projection.turns)) == list(map(id, handling.projection.prepared))
    assert await handling.handler.handle_batch(events) == []
    assert [turn.event for turn in handling.projection.turns] == [*events, *events]


async def test_an_event_is_stored_as_it_is_whatever_was_prepared_under_its_id() -> None:
    handling, turn = Handling(), SampleTurn()
    event, other = turn.ended(), replace(turn.ended(), data=b"{")
    same_id = replace(SampleTurn().ended(), id=event.id)
    for arrived in (event, same_id, other, user_erased(turn.user_id)):
        handling.handler.prepare(arrived)
    assert await handling.handler.handle_batch([event, same_id, other]) == [other]
    assert handling.projection.projected == [event, same_id]


async def test_prepared_events_that_are_never_handled_are_forgotten() -> None:
    handling, first = Handling(), SampleTurn().ended()
    large = SampleTurn(answer="x" * MAX_PREPARED_BYTES).ended()
    for event in (first, large, *(SampleTurn().ended() for _ in range(MAX_PREPARED))):
        handling.handler.prepare(event)
    prepared = len(handling.projection.prepared)
    await handling.handler.handle_batch([first, large])
    assert prepared == MAX_PREPARED + 1
    assert not set(map(id, handling.projection.turns)) & set(map(id, handling.projection.prepared))


async def test_a_batch_without_turns_stores_nothing() -> None:
    handling, erased = Handling(), user_erased(SampleTurn().user_id)
    assert await handling.handler.handle_batch([erased]) == [erased]
    assert not handling.projection.waits


async def test_a_turn_of_another_user_is_rejected_and_not_counted() -> None:
    handling, event = Handling(FakeProjection("foreign")), SampleTurn().ended()
    with pytest.raises(Rejected):
        await handling.handler.handle(event)
    assert handling.handled(event, "stored") == 0


@pytest.mark.parametrize("data", [b"{", b"\xff", b"[]", b'{"turn_id": 1}'])
async def test_malformed_data_is_rejected(data: bytes) -> None:
    with pytest.raises(Rejected):
        await Handling().handler.handle(replace(SampleTurn().ended(), data=data))


async def test_the_consumer_stops_only_after_the_event_in_progress_is_committed() -> None:
    bus, handling, stop, consuming = MemoryBus(), Handling(), asyncio.Event(), asyncio.Event()
    handling.projection.release.clear()

    async def consume() -> None:
        async with consume_events(bus, handling.handler):
            consuming.set()
            await stop.wait()

    consumer = asyncio.create_task(consume())
    await asyncio.wait_for(consuming.wait(), 2)
    publishing = asyncio.create_task(bus.publish(SampleTurn().ended()))
    await asyncio.wait_for(handling.projection.entered.wait(), 2)
    stop.set()
    await asyncio.wait({consumer}, timeout=0.1)
    assert not consumer.done()
    handling.projection.release.set()
    await asyncio.wait_for(asyncio.gather(consumer, publishing), 2)


async def test_waiting_for_idle_gives_up_after_its_timeout() -> None:
    handling = Handling()
    handling.projection.release.clear()
    event = asyncio.create_task(handling.handler.handle(SampleTurn().ended()))
    await asyncio.wait_for(handling.projection.entered.wait(), 2)
    await handling.handler.wait_idle(timeout=0.01)
    assert not event.done()
    handling.projection.release.set()
    await event
