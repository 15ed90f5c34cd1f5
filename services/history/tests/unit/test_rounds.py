"""Rounds of a batch."""

from typing import cast

from history.projection.rounds import rounds_of
from history.projection.turn_event import TurnEvent, read_turn_event
from history_testing.turn_events import SampleTurn
from parley.ids import new_id
from parley_events.cloudevents import CloudEvent


def rounds(*events: CloudEvent) -> list[int]:
    return rounds_of(cast("TurnEvent", read_turn_event(event)) for event in events)


def test_events_of_different_turns_share_a_round() -> None:
    first = SampleTurn()
    assert rounds(first.ended(), first.next().started(), first.regenerated().ended(), SampleTurn().ended()) == [0] * 4


def test_the_events_of_a_turn_are_in_different_rounds_in_their_order() -> None:
    one, other = SampleTurn(), SampleTurn()
    assert rounds(one.started(), other.ended(), one.ended(), one.ended(), other.started()) == [0, 0, 1, 2, 1]


def test_a_conversation_of_two_users_is_in_different_rounds() -> None:
    mine = SampleTurn()
    theirs = SampleTurn(conversation_id=mine.conversation_id, number=2)
    assert rounds(mine.ended(), theirs.started(), theirs.ended(), mine.next().ended()) == [0, 1, 2, 0]


def test_a_message_in_two_conversations_is_in_different_rounds() -> None:
    one = SampleTurn()
    other = SampleTurn(one.user_id, user_message_id=one.user_message_id)
    assert rounds(one.ended(), other.ended()) == [0, 1]
    result = {"id": new_id(), "tool_call_id": "c1", "content": "Rain", "created_at": one.started_at}
    alone = SampleTurn()
    assert rounds(alone.ended(tool_results=[result]), SampleTurn().ended(tool_results=[result])) == [0, 1]


def test_turns_that_share_their_question_share_a_round() -> None:
    first = SampleTurn()
    assert rounds(first.ended(), first.regenerated().ended()) == [0, 0]


def test_a_turn_without_a_conversation_claims_none() -> None:
    assert rounds(SampleTurn(stored=False).ended(), SampleTurn(stored=False).ended()) == [0, 0]
