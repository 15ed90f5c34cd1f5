"""Contract of the Postgres item store, and what a deletion leaves in the outbox and in the verification."""

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest

from chat.events.verification import AcceptedTurn
from chat.item_store import ItemPlace
from chat.model import ToolResult
from chat.storage.postgres_erasure import PostgresTurnErasureStore
from chat.storage.postgres_items import PostgresItemStore
from chat.storage.postgres_turns import PostgresTurnStore
from chat.storage.postgres_verification import PostgresVerificationSource
from chat.turn_store import TurnRefused
from chat_testing.item_store_contract import ItemStoreContract, answer_of, ended
from chat_testing.replica import NewDatabase
from chat_testing.turns import conversation_of, make_new_turn
from parley import times
from parley.ids import new_id
from parley.storage.postgres import Pool, open_pool
from parley_testing import eventually

pytestmark = pytest.mark.integration


@pytest.fixture
async def pool(new_database: NewDatabase) -> AsyncIterator[Pool]:
    async with open_pool(await new_database(), size=4) as opened:
        yield opened


@pytest.fixture
def turns(pool: Pool) -> PostgresTurnStore:
    return PostgresTurnStore(pool, lambda: None)


@pytest.fixture
def items(turns: PostgresTurnStore) -> PostgresItemStore:
    return PostgresItemStore(turns)


class TestPostgresItemStore(ItemStoreContract):
    pass


async def test_no_event_keeps_the_text_and_each_one_keeps_its_members(
    pool: Pool, turns: PostgresTurnStore, items: PostgresItemStore
) -> None:
    result = ToolResult(new_id(), "c1", "Secret")
    first = await ended(turns, user_message="Secret")
    again = await ended(
        turns,
        user_id=first.user_id,
        conversation_id=first.conversation_id,
        parent_id=first.id,
        user_message_id=first.user_message_id,
        user_message="Secret",
        continues=True,
        tool_results=(result,),
    )
    before = {row["id"]: set(row["data"]) for row in await pool.fetch("SELECT id, data FROM outbox")}
    for item in (
        ItemPlace(first.id, "message", 0, in_input=True),
        ItemPlace(again.id, "function_call_output", 0, in_input=True),
    ):
        assert await items.delete(first.user_id, conversation_of(first), item)
    rows = await pool.fetch("SELECT id, name, data FROM outbox ORDER BY sequence")
    assert b"Secret" not in orjson.dumps([row["data"] for row in rows])
    assert {row["id"]: set(row["data"]) for row in rows if row["id"] in before} == before
    redactions = [row["data"] for row in rows if row["name"] == "conversation.turn.redacted"]
    assert [(one["turn_id"], one["revision"]) for one in redactions] == [
        *((str(first.id), 1), (str(again.id), 1), (str(again.id), 2))
    ]


@pytest.mark.parametrize("copies", [False, True])
async def test_a_turn_that_waits_for_the_end_of_a_deletion_is_refused(
    pool: Pool, turns: PostgresTurnStore, items: PostgresItemStore, copies: bool
) -> None:
    first = await ended(turns)
    source = conversation_of(first)
    where = {"copied_from": {source: 0}} if copies else {"conversation_id": source}
    again = make_new_turn(user_id=first.user_id, user_message="Secret", **where)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

    async def are_waiting(count: int) -> bool:
        return bool(await pool.fetchval(waiting) == count)

    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT id FROM turns WHERE id = $1 FOR UPDATE", first.id)
        deleting = asyncio.create_task(items.delete(first.user_id, conversation_of(first), answer_of(first)))
        await eventually(lambda: are_waiting(1))
        admitting = asyncio.create_task(turns.admit(again, new_id(), None))
        await eventually(lambda: are_waiting(2))
    assert await deleting
    with pytest.raises(TurnRefused):
        await admitting
    assert await turns.get(again.id) is None


async def test_a_deletion_by_a_replica_of_the_version_before_is_counted(
    pool: Pool, turns: PostgresTurnStore, items: PostgresItemStore
) -> None:
    first = await ended(turns)
    source = conversation_of(first)
    deletes = 'UPDATE turns SET response = \'{"revision": 1, "deleted_messages": [], "input": []}\' WHERE id = $1'
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT id FROM conversations WHERE id = $1 FOR NO KEY UPDATE", source)
        await connection.execute(deletes, first.id)
    for where in ({"copied_from": {source: 0}}, {"conversation_id": source}):
        with pytest.raises(TurnRefused):
            await turns.admit(make_new_turn(user_id=first.user_id, **where), new_id(), None)
    await turns.hide_response(first.id)
    erasure = PostgresTurnErasureStore(turns)
    await erasure.delete_conversation(source, first.user_id, times.now())
    await erasure.blank_conversation(source)
    state = await turns.conversation(source)
    assert state is not None
    assert state.item_deletions == 1


async def test_a_turn_with_copies_of_a_deleted_conversation_is_refused(turns: PostgresTurnStore) -> None:
    first = await ended(turns)
    source = conversation_of(first)
    await PostgresTurnErasureStore(turns).delete_conversation(source, first.user_id, times.now())
    assert await turns.snapshots([first.id], characters=1_000_000) == []
    with pytest.raises(TurnRefused):
        await turns.admit(make_new_turn(user_id=first.user_id, copied_from={source: 0}), new_id(), None)


async def test_a_deletion_is_verified_once_its_event_was_sent_for_some_time(
    pool: Pool, turns: PostgresTurnStore, items: PostgresItemStore
) -> None:
    source = PostgresVerificationSource(turns)
    turn = await ended(turns)
    await pool.execute("UPDATE turns SET finished_at = now() - interval '1 hour'")
    await pool.execute("UPDATE outbox SET sent_at = now() - interval '1 hour'")

    async def compared() -> AcceptedTurn:
        (found,) = await source.accepted(None, older_than=60, limit=10)
        return found

    assert not (await compared()).redacting
    assert await items.delete(turn.user_id, conversation_of(turn), answer_of(turn))
    assert (await compared()).redacting
    redactions = "UPDATE outbox SET sent_at = now() - make_interval(secs => $1) WHERE name LIKE '%redacted'"
    await pool.execute(redactions, 30.0)
    assert (await compared()).redacting
    await pool.execute(redactions, 90.0)
    assert not (await compared()).redacting


async def test_a_repair_publishes_the_deletion_after_the_turn_again(
    pool: Pool, turns: PostgresTurnStore, items: PostgresItemStore
) -> None:
    turn, untouched = await ended(turns), await ended(turns)
    assert await items.delete(turn.user_id, conversation_of(turn), answer_of(turn))
    await pool.execute("UPDATE outbox SET sent_at = now()")
    assert await PostgresVerificationSource(turns).republish([turn.id]) == 3
    waiting = await pool.fetch("SELECT name, data FROM outbox WHERE sent_at IS NULL ORDER BY sequence")
    assert [row["name"].rpartition(".")[2] for row in waiting] == ["started", "completed", "redacted"]
    assert {row["data"]["turn_id"] for row in waiting} == {str(turn.id)} != {str(untouched.id)}
