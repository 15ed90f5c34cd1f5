"""Deletion of a conversation with very many turns: each page of it reads that page, whatever plan Postgres makes."""

from collections.abc import AsyncIterator

import pytest

from chat.model import Turn
from chat.storage.erasure_statements import TURNS_OF_CONVERSATION
from chat.storage.postgres_erasure import PostgresTurnErasureStore
from chat.storage.postgres_turns import PostgresTurnStore
from chat_testing.item_store_contract import ended
from chat_testing.replica import NewDatabase
from chat_testing.turns import conversation_of
from parley import times
from parley.storage.erasure import ERASURE_TIMEOUT
from parley.storage.postgres import Pool, allow_long_statements, open_pool
from parley_testing.telemetry.query_plans import PLAN_MODES, PlanMode, explain

pytestmark = pytest.mark.integration

COUNT, PAGE = 1000, 50
COPY_TURN = """
INSERT INTO turns SELECT (jsonb_populate_record(t, jsonb_build_object('id', gen_random_uuid(), 'number', n))).*
FROM turns AS t, generate_series(2, $2) AS n WHERE t.id = $1"""
LEFT = "SELECT count(*) FROM turns WHERE user_message <> '' OR content <> ''"


@pytest.fixture(scope="module")
async def pool(new_database: NewDatabase) -> AsyncIterator[Pool]:
    async with open_pool(await new_database(), size=2) as opened:
        yield opened


@pytest.fixture(scope="module")
async def turn(pool: Pool) -> Turn:
    found = await ended(PostgresTurnStore(pool, lambda: None), user_message="Secret")
    async with pool.acquire() as connection, connection.transaction():
        await allow_long_statements(connection, ERASURE_TIMEOUT)
        await connection.execute(COPY_TURN, found.id, COUNT, timeout=ERASURE_TIMEOUT)
        await connection.execute("ANALYZE turns", timeout=ERASURE_TIMEOUT)
    return found


@pytest.mark.parametrize("mode", PLAN_MODES)
@pytest.mark.parametrize("number", [0, COUNT // 2, COUNT - PAGE + 1])
async def test_a_page_of_turns_to_blank_reads_that_page(pool: Pool, turn: Turn, number: int, mode: PlanMode) -> None:
    async with pool.acquire() as connection:
        plan = await explain(connection, TURNS_OF_CONVERSATION, [conversation_of(turn), number, PAGE], mode)
    assert PAGE <= plan.work <= 2 * PAGE, plan.summary


async def test_every_page_of_a_deleted_conversation_is_blanked(pool: Pool, turn: Turn) -> None:
    erasure = PostgresTurnErasureStore(PostgresTurnStore(pool, lambda: None), batch_size=100, page_size=300)
    await erasure.delete_conversation(conversation_of(turn), turn.user_id, times.now())
    assert await pool.fetchval(LEFT) == COUNT
    await erasure.blank_conversation(conversation_of(turn))
    assert await pool.fetchval(LEFT) == 0
