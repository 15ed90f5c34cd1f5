"""Purges of every service on tables with thousands of rows of which none is due: they read next to nothing."""

from uuid import UUID

import pytest

from parley_testing.backends.filled_database import filled_database
from parley_testing.backends.shared_servers import SharedBackends
from parley_testing.telemetry.filled_tables import SAMPLES
from parley_testing.telemetry.query_plans import PLAN_MODES, argument_types, explain
from parley_testing.telemetry.statements import service_statements

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


@pytest.mark.parametrize("service", ["auth", "chat", "history", "webhooks"])
async def test_a_purge_reads_what_is_due_by_an_index_in_batches(backends: SharedBackends, service: str) -> None:
    purges = {
        statement: text
        for statement, text in service_statements(service)
        if statement in ALSO or (statement.rpartition(".")[2].startswith("_PURGE") and statement not in OTHER)
    }
    async with filled_database(backends, service, ROWS) as connection:
        arguments = {
            text: [ARGUMENTS[one] for one in await argument_types(connection, text)] for text in purges.values()
        }
        for text in purges.values():
            while not (await connection.execute(text, *arguments[text])).endswith(" 0"):
                pass
        await connection.execute("VACUUM ANALYZE")
        wrong = [f"{statement} has no LIMIT" for statement, text in purges.items() if "LIMIT" not in text]
        for statement, text in purges.items():
            for mode in PLAN_MODES:
                plan = await explain(connection, text, arguments[text], mode)
                if plan.work > MOST_ROWS:
                    wrong.append(f"{statement}, {mode}: {plan.work} rows\n{plan.summary}")
    assert len(purges) > 2
    assert not wrong, "\n".join(wrong)
