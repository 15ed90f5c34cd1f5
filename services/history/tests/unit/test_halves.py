"""Halves of a batch."""

from typing import cast

import pytest

from history.projection import halves
from history.projection.halves import MIN_SPLIT, halves_of
from history.projection.turn_event import TurnEvent, read_turn_event
from history_testing.turn_events import SampleTurn
from parley.ids import new_id
from parley_events.cloudevents import CloudEvent


@pytest.fixture
def split_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(halves, "MIN_SPLIT", 2)


def split(*events: CloudEvent) -> list[list[CloudEvent]]:
    parts = halves_of([cast("TurnEvent", read_turn_event(event)) for event in events])
    return [[turn.event for turn in part] for part in parts]


@pytest.mark.usefixtures("split_early")
def test_the_events_of_a_user_are_in_one_half_in_their_order() -> None:
    mine, theirs = SampleTurn(), SampleTurn()
    events = [mine.started(), theirs.started(), mine.ended(), theirs.ended()]
    assert split(*events) == [[events[0], events[2]], [events[1], events[3]]]


@pytest.mark.usefixtures("split_early")
def test_halves_have_about_as_many_events() -> None:
    large = SampleTurn()
    small = [SampleTurn().started() for _ in range(4)]
    events = [*small, *(large.started() for _ in range(4))]
    assert [len(half) for half in split(*events)] == [4, 4]


@pytest.mark.usefixtures("split_early")
def test_a_batch_of_one_user_is_not_split() -> None:
    turn = SampleTurn()
    assert len(split(turn.started(), turn.ended())) == 1


@pytest.mark.usefixtures("split_early")
@pytest.mark.parametrize("shared", ["turn_id", "conversation_id", "user_message_id"])
def test_a_batch_in_which_two_users_claim_the_same_is_not_split(shared: str) -> None:
    mine = SampleTurn()
    theirs = SampleTurn(**{shared: getattr(mine, shared)})
    assert len(split(mine.ended(), theirs.ended())) == 1


@pytest.mark.usefixtures("split_early")
def test_a_batch_in_which_two_users_claim_the_same_tool_result_is_not_split() -> None:
    mine = SampleTurn()
    result = {"id": new_id(), "tool_call_id": "c1", "content": "Rain", "created_at": mine.started_at}
    assert len(split(mine.ended(tool_results=[result]), SampleTurn().ended(tool_results=[result]))) == 1


def test_a_small_batch_is_not_split() -> None:
    events = [SampleTurn().started() for _ in range(MIN_SPLIT)]
    assert [len(split(*events[:count])) for count in (MIN_SPLIT - 1, MIN_SPLIT)] == [1, 2]
