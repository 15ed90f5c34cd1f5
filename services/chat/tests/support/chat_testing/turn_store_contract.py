"""Contract tests of turn stores: admission, outcomes, budgets, and keys.

A test class inherits them and defines the fixture ``store``.
"""

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest

from chat.model import IdempotencyKey, NewTurn, Outcome, Reservation, Turn, TurnError
from chat.turn_store import BudgetExceeded, TurnRefused, TurnStore
from chat_testing.turns import conversation_of, make_new_turn, make_outcome
from parley.ids import new_id

RUNNER = new_id()


def key_of(turn: NewTurn, name: str = "key") -> IdempotencyKey:
    return IdempotencyKey(turn.user_id, "/chat", name, b"digest")


def next_turn(turn: NewTurn, **changed: object) -> NewTurn:
    """Return another turn of the same conversation."""
    members = {"user_id": turn.user_id, "conversation_id": turn.conversation_id, **changed}
    return make_new_turn(**members)


async def admitted(store: TurnStore, turn: NewTurn) -> Turn:
    await store.admit(turn, RUNNER, None)
    found = await store.get(turn.id)
    assert found is not None
    return found


def reservation(periods: tuple[str, ...], *, tokens: int, limit: int) -> Reservation:
    none = (None,) * len(periods)
    return Reservation(periods, tokens=tokens, token_limits=(limit,) * len(periods), cost_limits=none)


class TurnStoreContract:
    async def test_an_admitted_turn_is_running_and_numbered(self, store: TurnStore) -> None:
        new = make_new_turn()
        result = await store.admit(new, RUNNER, None)
        turn = await store.get(new.id)
        assert (result.turn_id, result.number) == (new.id, 1)
        assert turn is not None
        assert (turn.status, turn.epoch, turn.number, turn.user_message) == ("running", 1, 1, "Hi")

    async def test_a_finished_turn_has_its_outcome_and_is_the_head_of_its_conversation(self, store: TurnStore) -> None:
        turn = await admitted(store, make_new_turn())
        ended = await store.finish(turn, make_outcome("Hel", "lo"))
        assert ended is not None
        assert (ended.status, ended.content, len(ended.entries)) == ("completed", "Hello", 2)
        conversation = await store.conversation(conversation_of(turn))
        assert conversation is not None
        assert (conversation.latest_turn_id, conversation.running_turn_id) == (turn.id, None)

    @pytest.mark.parametrize(
        "outcome",
        [
            make_outcome("Hel", "lo", cost=Decimal("0.01")),
            make_outcome(status="failed", finish_reason="error", error=TurnError("provider_error", "It failed.", 5)),
            make_outcome(tool_calls=[{"type": "function", "id": "a", "function": {"name": "f", "arguments": "{}"}}]),
        ],
    )
    async def test_a_finished_turn_is_returned_as_it_is_stored(self, store: TurnStore, outcome: Outcome) -> None:
        turn = await admitted(store, make_new_turn())
        await store.request_cancel(turn.id)
        assert await store.finish(turn, outcome) == await store.get(turn.id)

    async def test_a_claimed_conversation_belongs_to_the_first_user_and_takes_turn_one(self, store: TurnStore) -> None:
        turn = make_new_turn()
        conversation_id = turn.conversation_id
        assert conversation_id is not None
        claimed = [await store.claim_conversation(conversation_id, user_id) for user_id in (turn.user_id, new_id())]
        assert [one.user_id for one in claimed] == [turn.user_id] * 2
        assert (await admitted(store, turn)).number == 1

    async def test_a_reservation_moves_to_a_fallback_and_is_settled_there(self, store: TurnStore) -> None:
        new = make_new_turn(reservation=reservation(("2026-11",), tokens=100, limit=1000))
        turn = await admitted(store, new)
        both = reservation(("2026-11", "2026-11-22"), tokens=900, limit=1000)
        assert await store.move_reservation(turn, "other", both)
        assert await store.move_reservation(turn, "other", both)
        moved = await store.get(turn.id)
        assert moved is not None
        assert moved.answering_model == "other"
        refused = make_new_turn(user_id=new.user_id, reservation=reservation(("2026-11",), tokens=101, limit=1000))
        with pytest.raises(BudgetExceeded):
            await store.admit(refused, RUNNER, None)
        await store.finish(turn, make_outcome("Hello"))
        await store.admit(make_new_turn(user_id=new.user_id, reservation=both), RUNNER, None)

    async def test_a_reservation_that_exceeds_a_limit_stays_where_it_is(self, store: TurnStore) -> None:
        new = make_new_turn(reservation=reservation(("2026-11", "2026-11-22"), tokens=100, limit=1000))
        turn = await admitted(store, new)
        await store.admit(make_new_turn(user_id=new.user_id, reservation=new.reservation), RUNNER, None)
        with pytest.raises(BudgetExceeded):
            await store.move_reservation(turn, "other", reservation(("2026-11-22",), tokens=901, limit=1000))
        found = await store.get(turn.id)
        assert found is not None
        assert found.answering_model is None
        rest = make_new_turn(user_id=new.user_id, reservation=reservation(("2026-11",), tokens=800, limit=1000))
        await store.admit(rest, RUNNER, None)

    async def test_the_reservation_of_a_turn_that_ended_or_has_another_epoch_does_not_move(
        self, store: TurnStore
    ) -> None:
        turn = await admitted(store, make_new_turn())
        assert not await store.move_reservation(replace(turn, epoch=2), "other", Reservation())
        await store.finish(turn, make_outcome("Hello"))
        assert not await store.move_reservation(turn, "other", Reservation())

    async def test_finishing_twice_keeps_the_first_outcome(self, store: TurnStore) -> None:
        turn = await admitted(store, make_new_turn())
        await store.finish(turn, make_outcome("first"))
        again = await store.finish(turn, make_outcome("second"))
        assert again is not None
        assert again.content == "first"

    async def test_a_turn_of_another_epoch_is_not_finished(self, store: TurnStore) -> None:
        turn = await admitted(store, make_new_turn())
        assert await store.finish(replace(turn, epoch=2), make_outcome("late")) is None

    async def test_a_conversation_runs_one_turn_at_a_time(self, store: TurnStore) -> None:
        first = make_new_turn()
        turn = await admitted(store, first)
        with pytest.raises(TurnRefused):
            await store.admit(next_turn(first), RUNNER, None)
        await store.finish(turn, make_outcome("done"))
        result = await store.admit(next_turn(first), RUNNER, None)
        assert result.number == 2

    async def test_a_turn_that_follows_the_latest_is_refused_after_the_head_moved(self, store: TurnStore) -> None:
        first = make_new_turn()
        await store.finish(await admitted(store, first), make_outcome("done"))
        with pytest.raises(TurnRefused):
            await store.admit(next_turn(first, follows_latest=True, parent_id=None), RUNNER, None)
        await store.admit(next_turn(first, follows_latest=True, parent_id=first.id), RUNNER, None)

    async def test_a_conversation_of_another_user_is_refused(self, store: TurnStore) -> None:
        first = make_new_turn()
        await store.finish(await admitted(store, first), make_outcome("done"))
        with pytest.raises(TurnRefused):
            await store.admit(make_new_turn(conversation_id=first.conversation_id), RUNNER, None)

    async def test_a_repeated_idempotency_key_returns_the_first_turn(self, store: TurnStore) -> None:
        first = make_new_turn()
        await store.admit(first, RUNNER, key_of(first))
        second = make_new_turn(user_id=first.user_id)
        result = await store.admit(second, RUNNER, key_of(first))
        assert (result.turn_id, result.body_hash) == (first.id, b"digest")
        assert await store.get(second.id) is None
        record = await store.find_key(first.user_id, "/chat", "key")
        assert record is not None
        assert record.turn_id == first.id

    async def test_an_idempotency_key_is_claimed_once(self, store: TurnStore) -> None:
        first = make_new_turn()
        key = key_of(first)
        claimed = await asyncio.gather(*(store.claim_key(key, new_id()) for _ in range(5)))
        assert len({record.turn_id for record in claimed}) == 1
        other = await store.claim_key(replace(key, body_hash=b"other"), new_id())
        assert other == claimed[0]
        assert await store.find_key(key.user_id, key.route, key.key) == other

    async def test_a_failed_turn_frees_its_idempotency_key(self, store: TurnStore) -> None:
        first = make_new_turn()
        await store.admit(first, RUNNER, key_of(first))
        turn = await store.get(first.id)
        assert turn is not None
        error = TurnError("provider_error", "The provider failed.")
        await store.finish(turn, make_outcome(status="failed", finish_reason="error", error=error))
        assert await store.find_key(first.user_id, "/chat", "key") is None

    async def test_a_reservation_counts_until_the_turn_ends_and_its_usage_afterwards(self, store: TurnStore) -> None:
        reservation = Reservation(("2026-11-28",), 60, Decimal(0), (100,), (None,))
        first = make_new_turn(reservation=reservation)
        turn = await admitted(store, first)
        with pytest.raises(BudgetExceeded):
            await store.admit(make_new_turn(user_id=first.user_id, reservation=reservation), RUNNER, None)
        await store.finish(turn, make_outcome("done"))
        await store.admit(make_new_turn(user_id=first.user_id, reservation=reservation), RUNNER, None)

    async def test_a_requested_cancellation_is_visible(self, store: TurnStore) -> None:
        turn = await admitted(store, make_new_turn())
        await store.request_cancel(turn.id)
        found = await store.get(turn.id)
        assert found is not None
        assert found.cancel_requested
