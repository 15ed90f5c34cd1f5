"""Pages of the turns of a user who has many: rare ones are found without reading the others."""

import pytest

from chat.storage.postgres_turns import PostgresTurnStore
from chat.storage.turn_lists import list_statement
from chat_testing.replica import NewDatabase
from chat_testing.turn_store_contract import admitted
from chat_testing.turns import make_new_turn, make_outcome
from parley.storage.postgres import open_pool
from parley_testing.telemetry.query_plans import PLAN_MODES, explain

pytestmark = pytest.mark.integration

TURNS, PAGE = 2000, 20
_COPIES = """
INSERT INTO turns SELECT (jsonb_populate_record(t, jsonb_build_object('id', gen_random_uuid(), 'number', n))).*
FROM turns AS t CROSS JOIN generate_series(2, $1) AS n"""


@pytest.mark.parametrize("status", ["running", "failed", "cancelled", "incomplete"])
async def test_a_page_of_rare_turns_reads_no_other_turn(new_database: NewDatabase, status: str) -> None:
    async with open_pool(await new_database(), size=2) as pool, pool.acquire() as connection:
        store = PostgresTurnStore(pool, lambda: None)
        turn = await admitted(store, make_new_turn())
        await store.finish(turn, make_outcome("done"))
        await connection.execute(_COPIES, TURNS)
        await connection.execute("ANALYZE turns")
        statement = list_statement(of_conversation=False, with_files=False, status=status)
        for mode in PLAN_MODES:
            plan = await explain(connection, statement, [turn.user_id, status, None, PAGE], mode)
            assert plan.work <= PAGE, plan.summary
