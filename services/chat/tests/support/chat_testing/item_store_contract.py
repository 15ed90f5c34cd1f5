"""Contract tests of item stores. A test class inherits them and defines the fixtures ``turns`` and ``items``."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from chat.errors import TurnInProgress
from chat.item_store import ItemPlace, ItemStore, NewItems
from chat.model import IdempotencyKey, NewTurn, Turn
from chat.turn_store import TurnRefused, TurnStore
from chat_testing.turns import conversation_of, make_new_turn, make_outcome
from parley.ids import new_id

RUNNER = new_id()


def question_of(turn: NewTurn | Turn) -> ItemPlace:
    return ItemPlace(turn.id, "message", 0, in_input=True)


def answer_of(turn: NewTurn | Turn) -> ItemPlace:
    return ItemPlace(turn.id, "message", 0, in_input=False)


async def running(turns: TurnStore, **members: object) -> Turn:
    new = make_new_turn(**members)
    await turns.admit(new, RUNNER, None)
    found = await turns.get(new.id)
    assert found is not None
    return found


async def ended(turns: TurnStore, **members: object) -> Turn:
    turn = await turns.finish(await running(turns, **members), make_outcome("Hel", "lo"))
    assert turn is not None
    return turn


class ItemStoreContract:
    async def test_an_item_is_deleted_once_even_by_two_requests_at_the_same_time(
        self, turns: TurnStore, items: ItemStore
    ) -> None:
        turn = await ended(turns)
        wanted = (turn.user_id, conversation_of(turn), question_of(turn))
        assert sorted(await asyncio.gather(items.delete(*wanted), items.delete(*wanted))) == [False, True]
        left = await turns.get(turn.id)
        assert left is not None
        assert (left.user_message, left.content) == ("", "Hello")

    async def test_items_of_others_and_unknown_ones_are_not_deleted(self, turns: TurnStore, items: ItemStore) -> None:
        turn, other = await ended(turns), await ended(turns)
        user, conversation = turn.user_id, conversation_of(turn)
        for wrong in (
            (other.user_id, conversation, question_of(turn)),
            (user, conversation_of(other), question_of(other)),
            (user, conversation, question_of(other)),
            (user, new_id(), question_of(turn)),
            (user, conversation, ItemPlace(turn.id, "message", 1, in_input=True)),
            (user, conversation, ItemPlace(turn.id, "function_call", 0, in_input=False)),
            (user, conversation, ItemPlace(new_id(), "message", 0, in_input=True)),
        ):
            assert not await items.delete(*wrong)
        assert await turns.get(turn.id) == turn

    async def test_no_item_is_deleted_while_a_turn_of_its_conversation_runs(
        self, turns: TurnStore, items: ItemStore
    ) -> None:
        first = await ended(turns)
        user, conversation = first.user_id, conversation_of(first)
        second = await running(turns, user_id=user, conversation_id=conversation, parent_id=first.id)
        for item in (question_of(first), answer_of(first), question_of(second), answer_of(second)):
            with pytest.raises(TurnInProgress) as refused:
                await items.delete(user, conversation, item)
            assert refused.value.members == {"turn_id": str(second.id)}
        assert not await items.delete(user, conversation, ItemPlace(first.id, "message", 9, in_input=True))

    async def test_regenerations_lose_the_question_and_keep_their_answers(
        self, turns: TurnStore, items: ItemStore
    ) -> None:
        first = await ended(turns)
        again = await ended(
            turns,
            user_id=first.user_id,
            conversation_id=first.conversation_id,
            regenerate=first.id,
            user_message_id=first.user_message_id,
        )
        assert await items.delete(first.user_id, conversation_of(first), question_of(again))
        assert await items.delete(first.user_id, conversation_of(first), answer_of(first))
        left = [await turns.get(turn.id) for turn in (first, again)]
        found = [(turn.user_message, turn.content) for turn in left if turn is not None]
        assert found == [("", ""), ("", "Hello")]

    async def test_a_question_stays_if_chat_no_longer_has_the_turn_that_history_shows_it_with(
        self, turns: TurnStore, items: ItemStore
    ) -> None:
        again = await ended(turns, regenerate=new_id())
        assert not await items.delete(again.user_id, conversation_of(again), question_of(again))
        assert await items.delete(again.user_id, conversation_of(again), answer_of(again))
        left = await turns.get(again.id)
        assert left is not None
        assert (left.user_message, left.content) == (again.user_message, "")

    async def test_a_turn_whose_position_was_read_before_a_deletion_is_refused(
        self, turns: TurnStore, items: ItemStore
    ) -> None:
        first = await ended(turns)
        conversation = conversation_of(first)
        again = make_new_turn(user_id=first.user_id, conversation_id=conversation, user_message=first.user_message)
        assert await items.delete(first.user_id, conversation, question_of(first))
        with pytest.raises(TurnRefused):
            await turns.admit(again, RUNNER, None)
        state = await turns.conversation(conversation)
        assert state is not None
        result = await turns.admit(replace(again, item_deletions=state.item_deletions), RUNNER, None)
        assert result.number == 2

    @pytest.mark.parametrize("stored", [True, False])
    async def test_a_turn_with_copies_of_another_conversation_is_refused_after_a_deletion_there(
        self, turns: TurnStore, items: ItemStore, stored: bool
    ) -> None:
        source, other = await ended(turns), await ended(turns)
        conversation = conversation_of(source)
        (read,) = await turns.snapshots([source.id, new_id()], characters=1_000_000)
        assert (read.turn, read.item_deletions) == (source, 0)
        copied_from = {conversation: read.item_deletions, conversation_of(other): 0}
        members = {
            "user_id": source.user_id,
            "copied_from": copied_from,
            **({} if stored else {"conversation_id": None}),
        }
        await turns.admit(make_new_turn(**members), RUNNER, None)
        assert await items.delete(source.user_id, conversation, question_of(source))
        with pytest.raises(TurnRefused):
            await turns.admit(make_new_turn(**members), RUNNER, None)
        (read,) = await turns.snapshots([source.id], characters=1_000_000)
        assert (read.turn.user_message, read.item_deletions) == ("", 1)
        copied_from[conversation] = read.item_deletions
        await turns.admit(make_new_turn(**members), RUNNER, None)
        with pytest.raises(TurnRefused):
            await turns.admit(make_new_turn(**{**members, "copied_from": {new_id(): 0}}), RUNNER, None)

    async def test_items_are_inserted_once_and_behind_the_newest_answer_only(
        self, turns: TurnStore, items: ItemStore
    ) -> None:
        first = await ended(turns)
        conversation = conversation_of(first)
        key = IdempotencyKey(first.user_id, "/items", "key", b"digest")
        again = await running(turns, user_id=first.user_id)
        template = await turns.finish(again, make_outcome("In"))
        assert template is not None
        new = _moved(template, conversation)
        late = NewItems([new], follows_latest=True, expected_latest=new_id())
        with pytest.raises(TurnRefused):
            await items.insert(late, None)
        stored = await items.insert(NewItems([new], follows_latest=True, expected_latest=first.id), key)
        assert stored is not None
        assert [turn.number for turn in stored] == [2]
        assert await items.insert(NewItems([_moved(template, conversation)]), key) is None
        found = await items.inserted(key)
        assert found is not None
        assert ([turn.id for turn in found.turns], found.body_hash) == ([new.id], b"digest")
        assert await items.inserted(IdempotencyKey(first.user_id, "/items", "other", b"digest")) is None


def _moved(turn: Turn, conversation: UUID) -> Turn:
    members: dict[str, Any] = {
        "conversation_id": conversation,
        "response": {"input": [], "inserted_turns": 1},
        "usage": None,
    }
    return replace(turn, id=new_id(), user_message_id=new_id(), finish_reason="inserted", **members)
