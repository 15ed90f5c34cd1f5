"""What is read of the turns of a user who has many or long ones."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from chat.model import Turn
from chat.storage.postgres_turns import PostgresTurnStore
from chat.storage.turn_lists import READ, list_statement
from chat.storage.turn_statements import CHAIN
from chat_testing.replica import NewDatabase
from chat_testing.turn_store_contract import admitted
from chat_testing.turns import make_new_turn, make_outcome
from parley.storage.postgres import Connection, open_pool
from parley_testing.telemetry.query_plans import PLAN_MODES, explain

pytestmark = pytest.mark.integration

TURNS, PAGE = 2000, 20
_COPIES = """
INSERT INTO turns SELECT (jsonb_populate_record(t, jsonb_build_object('id', gen_random_uuid(), 'number', n))).*
FROM turns AS t CROSS JOIN generate_series(2, $1) AS n"""


@contextlib.asynccontextmanager
async def copied_turns(new_database: NewDatabase, **members: Any) -> AsyncIterator[tuple[Connection, Turn]]:
    """Fill a database with copies of an ended turn; yields a connection and that turn."""
    async with open_pool(await new_database(), size=2) as pool, pool.acquire() as connection:
        store = PostgresTurnStore(pool, lambda: None)
        turn = await admitted(store, make_new_turn(**members))
        await store.finish(turn, make_outcome("done"))
        await connection.execute(_COPIES, TURNS)
        await connection.execute("ANALYZE turns")
        yield connection, turn


@pytest.mark.parametrize("status", ["running", "failed", "cancelled", "incomplete"])
async def test_a_page_of_rare_turns_reads_no_other_turn(new_database: NewDatabase, status: str) -> None:
    async with copied_turns(new_database) as (connection, turn):
        statement = list_statement(of_conversation=False, with_files=False, status=status)
        for mode in PLAN_MODES:
            plan = await explain(connection, statement, [turn.user_id, status, None, PAGE], mode)
            assert plan.work <= PAGE, plan.summary


async def test_the_running_turn_of_a_conversation_is_found_without_the_others(new_database: NewDatabase) -> None:
    async with copied_turns(new_database) as (connection, turn):
        statement = list_statement(of_conversation=True, with_files=False, status="running")
        for mode in PLAN_MODES:
            arguments = [turn.user_id, "running", None, PAGE, turn.conversation_id]
            plan = await explain(connection, statement, arguments, mode)
            assert plan.work <= PAGE, plan.summary


async def test_turns_behind_the_one_that_fills_a_page_are_not_read(new_database: NewDatabase) -> None:
    async with copied_turns(new_database, user_message="x" * 1000) as (connection, _):
        ids = [row["id"] for row in await connection.fetch("SELECT id FROM turns ORDER BY id DESC")]
        for mode in PLAN_MODES:
            plan = await explain(connection, READ, [ids, 2000], mode)
            assert plan.work <= PAGE, plan.summary


async def test_a_chain_reads_of_a_response_what_its_length_counts(new_database: NewDatabase) -> None:
    async with open_pool(await new_database(), size=2) as pool:
        store = PostgresTurnStore(pool, lambda: None)
        given = {"input": [{"type": "message", "role": "user", "content": "Hi"}], "deleted_messages": []}
        turn = await admitted(store, make_new_turn(response={**given, "instructions": "x" * 1000}))
        await store.finish(turn, make_outcome("done"))
        (row,) = await pool.fetch(CHAIN, turn.conversation_id, turn.id, 1000, 10)
        assert row["response"] == given
