"""Purges of every service on tables with thousands of rows of which none is due: they read next to nothing."""

import re
from uuid import UUID

import asyncpg
import pytest

from parley.messaging import outbox
from parley.storage import migrations
from parley.storage.postgres import open_pool
from parley_testing.backends.shared_servers import SharedBackends
from parley_testing.telemetry.filled_tables import SAMPLES, fill_tables
from parley_testing.telemetry.query_plans import PLAN_MODES, explain
from parley_testing.telemetry.statements import statements

pytestmark = pytest.mark.integration

ROWS = 3000
MOST_ROWS = 100
DAY = 86_400
ARGUMENTS = SAMPLES | {"boolean": False, "double precision": DAY, "bigint": 1000, "uuid": UUID(int=1)}
"""Events whether confirmed or not, a retention of a day, the size of a batch, and an id of long ago."""
ALSO = {"auth.erasure.postgres._PENDING"}
"""Changes whatever is due, as a purge does."""
OTHER = {
    "chat.storage.postgres_maintenance._PURGE_RUNNERS": "The table has a row for each process.",
    "history.retention.purge._PURGE_CONVERSATIONS": "It gets a batch of identifiers.",
}
_TYPES = "SELECT parameter_types::text[] FROM pg_prepared_statements WHERE name = 'typed'"


async def _arguments(connection: "asyncpg.Connection[asyncpg.Record]", text: str) -> list[object]:
    await connection.execute(f"PREPARE typed AS {text}")
    found = [ARGUMENTS[one] for one in await connection.fetchval(_TYPES)]
    await connection.execute("DEALLOCATE typed")
    return found


@pytest.mark.parametrize("service", ["auth", "chat", "history", "webhooks"])
async def test_a_purge_reads_what_is_due_by_an_index_in_batches(backends: SharedBackends, service: str) -> None:
    async def migrate(dsn: str) -> None:
        await migrations.migrate(dsn, outbox.MIGRATIONS, service)

    database = await backends.fresh_database(migrate, f"purges {service}")
    name = database.partition("?")[0].rpartition("/")[2]
    dsn = re.sub(r"/\w+(\?|$)", rf"/{name}\1", await backends.database_url())
    purges = {
        statement: text
        for statement, text in [*statements(service), *statements("parley.messaging.outbox")]
        if statement in ALSO or (statement.rpartition(".")[2].startswith("_PURGE") and statement not in OTHER)
    }
    async with open_pool(dsn, size=1) as pool, pool.acquire() as connection:
        await fill_tables(connection, ROWS)
        for text in purges.values():
            arguments = await _arguments(connection, text)
            while not (await connection.execute(text, *arguments)).endswith(" 0"):
                pass
        await connection.execute("VACUUM ANALYZE")
        wrong = [f"{statement} has no LIMIT" for statement, text in purges.items() if "LIMIT" not in text]
        for statement, text in purges.items():
            arguments = await _arguments(connection, text)
            for mode in PLAN_MODES:
                plan = await explain(connection, text, arguments, mode)
                if plan.work > MOST_ROWS:
                    wrong.append(f"{statement}, {mode}: {plan.work} rows\n{plan.summary}")
    await backends.drop(database)
    assert len(purges) > 2
    assert not wrong, "\n".join(wrong)
