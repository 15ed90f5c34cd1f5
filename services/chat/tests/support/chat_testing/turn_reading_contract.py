"""Contract tests of turn stores: lists and chains of turns.

A test class inherits them and defines the fixture ``store``.
"""

from uuid import UUID

import pytest

from chat.input_items import message_with_files
from chat.model import NewTurn, ToolResult, Turn
from chat.turn_store import TurnPage, TurnsTooLong, TurnStore
from chat_testing.turn_store_contract import admitted, next_turn
from chat_testing.turns import conversation_of, make_new_turn, make_outcome
from parley.ids import new_id

LONG = 1_000_000


class TurnReadingContract:
    async def test_tool_results_are_stored_and_in_the_chain(self, store: TurnStore) -> None:
        first = await admitted(store, make_new_turn())
        await store.finish(first, make_outcome("call"))
        results = (ToolResult(new_id(), "c1", "Rain"), ToolResult(new_id(), None, "Wind"))
        second = await admitted(
            store,
            make_new_turn(
                user_id=first.user_id,
                conversation_id=first.conversation_id,
                parent_id=first.id,
                tool_results=results,
                continues=True,
            ),
        )
        assert (second.tool_results, second.continues) == (results, True)
        await store.finish(second, make_outcome("answer"))
        chain = await store.chain(conversation_of(first), second.id, characters=1000, limit=10)
        assert [(one.continues, len(one.before)) for one in chain] == [(True, 2), (False, 0)]
        longer = await store.chain(conversation_of(first), second.id, characters=chain[0].length + 1, limit=10)
        assert longer == chain, "the limit counts what an exchange counts as its length"
        assert [(step.role, step.content, step.tool_call_id) for step in chain[0].before] == [
            ("tool", "Rain", "c1"),
            ("tool", "Wind", None),
        ]

    async def test_turns_are_listed_newest_first(self, store: TurnStore) -> None:
        first = make_new_turn()
        await store.finish(await admitted(store, first), make_outcome("done"))
        second = next_turn(first)
        await admitted(store, second)
        found = await store.list_turns(
            first.user_id, conversation_id=None, status=None, before=None, limit=10, characters=LONG
        )
        assert [turn.id for turn in found.turns] == [second.id, first.id]
        running = await store.list_turns(
            first.user_id, conversation_id=None, status="running", before=None, limit=10, characters=LONG
        )
        assert [turn.id for turn in running.turns] == [second.id]
        earlier = await store.list_turns(
            first.user_id, conversation_id=None, status=None, before=second.id, limit=10, characters=LONG
        )
        assert [turn.id for turn in earlier.turns] == [first.id]

    @pytest.mark.parametrize("status", ["running", "completed", "incomplete", "failed", "cancelled"])
    async def test_turns_are_listed_by_their_status(self, store: TurnStore, status: str) -> None:
        first = make_new_turn()
        turns = [await admitted(store, first)]
        for outcome in ("completed", "incomplete", "failed", "cancelled"):
            await store.finish(turns[-1], make_outcome("done", status=outcome))
            turns.append(await admitted(store, next_turn(first)))
        found = await store.list_turns(
            first.user_id, conversation_id=None, status=status, before=None, limit=10, characters=LONG
        )
        assert [turn.status for turn in found.turns] == [status]
        (turn,) = found.turns
        before = await store.list_turns(
            first.user_id, conversation_id=None, status=status, before=turn.id, limit=10, characters=LONG
        )
        assert before == TurnPage([], more=False)
        others = await store.list_turns(
            new_id(), conversation_id=None, status=status, before=None, limit=10, characters=LONG
        )
        assert others == TurnPage([], more=False)

    async def test_turns_are_listed_by_their_files(self, store: TurnStore) -> None:
        first = make_new_turn(response={"input": [message_with_files("Look", [new_id()])]})
        await store.finish(await admitted(store, first), make_outcome("done"))
        typed = {"type": "message", "role": "user", "content": "Hello"}
        second = next_turn(first, response={"input": [typed]})
        await store.finish(await admitted(store, second), make_outcome("done"))
        await admitted(store, next_turn(second))
        for conversation_id in (None, conversation_of(await stored(store, second))):
            found = await store.list_turns(
                first.user_id,
                conversation_id=conversation_id,
                status=None,
                before=None,
                limit=10,
                characters=LONG,
                with_files=True,
            )
            assert [turn.id for turn in found.turns] == [first.id]

    async def test_a_page_ends_with_the_turn_that_fills_it(self, store: TurnStore) -> None:
        first = make_new_turn(user_message="x" * 20_000)
        await store.finish(await admitted(store, first), make_outcome("done"))
        second = next_turn(first, response={"input": [], "user": "x" * 20_000})
        await store.finish(await admitted(store, second), make_outcome("done"))
        third = next_turn(first)
        await store.finish(await admitted(store, third), make_outcome("", tool_calls=[{"id": "x" * 20_000}]))

        async def page(limit: int, characters: int) -> tuple[list[UUID], bool]:
            found = await store.list_turns(
                first.user_id, conversation_id=None, status=None, before=None, limit=limit, characters=characters
            )
            return [turn.id for turn in found.turns], found.more

        assert await page(10, 10_000) == ([third.id], True)
        assert await page(10, 30_000) == ([third.id, second.id], True)
        assert await page(10, LONG) == ([third.id, second.id, first.id], False)
        assert await page(3, LONG) == ([third.id, second.id, first.id], False)
        assert await page(2, LONG) == ([third.id, second.id], True)

    async def test_no_more_turns_are_copied_than_a_request_may_read(self, store: TurnStore) -> None:
        first = make_new_turn(user_message="x" * 20_000)
        await store.finish(await admitted(store, first), make_outcome("done"))
        second = next_turn(first, user_message="x" * 20_000)
        await store.finish(await admitted(store, second), make_outcome("done"))
        both = [first.id, second.id]
        found = await store.snapshots(both, characters=LONG)
        assert {one.turn.id for one in found} == set(both)
        assert len(await store.snapshots([first.id, new_id()], characters=LONG)) == 1
        with pytest.raises(TurnsTooLong):
            await store.snapshots(both, characters=10_000)

    async def test_the_chain_leads_from_a_turn_to_the_root(self, store: TurnStore) -> None:
        first = make_new_turn(user_message="one")
        await store.finish(await admitted(store, first), make_outcome("1"))
        second = next_turn(first, parent_id=first.id, user_message="two")
        await store.finish(await admitted(store, second), make_outcome("2"))
        conversation_id = conversation_of(await stored(store, second))
        chain = await store.chain(conversation_id, second.id, characters=1000, limit=10)
        assert [(e.user_message, e.answer) for e in chain] == [("two", "2"), ("one", "1")]
        assert len(await store.chain(conversation_id, second.id, characters=1000, limit=1)) == 1
        assert len(await store.chain(conversation_id, second.id, characters=1, limit=10)) == 1

    async def test_the_chain_stops_where_the_lengths_of_its_exchanges_say(self, store: TurnStore) -> None:
        call = {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "x" * 50}
        image = {"type": "input_image", "image_url": "x" * 800, "detail": "auto"}
        response = {"input": [{"type": "message", "role": "user", "content": [image]}, call]}
        first = make_new_turn(response=response)
        await store.finish(await admitted(store, first), make_outcome("1"))
        second = next_turn(first, parent_id=first.id, response=response)
        await store.finish(await admitted(store, second), make_outcome("2"))
        conversation_id = conversation_of(await stored(store, second))
        whole = await store.chain(conversation_id, second.id, characters=1000, limit=10)
        length = whole[0].length
        assert length == whole[1].length
        assert 250 < length < 800, "the image counts as a quarter"
        assert len(await store.chain(conversation_id, second.id, characters=length, limit=10)) == 1
        assert await store.chain(conversation_id, second.id, characters=length + 1, limit=10) == whole

    async def test_the_calls_of_an_answer_count_in_the_chain(self, store: TurnStore) -> None:
        call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "x" * 500}}
        first = make_new_turn()
        await store.finish(await admitted(store, first), make_outcome("", tool_calls=[call]))
        second = next_turn(first, parent_id=first.id)
        await store.finish(await admitted(store, second), make_outcome("", tool_calls=[call]))
        conversation_id = conversation_of(await stored(store, second))
        assert len(await store.chain(conversation_id, second.id, characters=500, limit=10)) == 1
        assert len(await store.chain(conversation_id, second.id, characters=1000, limit=10)) == 2


async def stored(store: TurnStore, new: NewTurn) -> Turn:
    turn = await store.get(new.id)
    assert turn is not None
    return turn
