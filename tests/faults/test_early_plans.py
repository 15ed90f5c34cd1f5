"""Plans of statements that were made while tables were small, once they have grown: Postgres keeps them for a while."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest

from parley.storage.postgres import Connection
from parley_testing.backends.filled_database import empty_database
from parley_testing.backends.shared_servers import SharedBackends
from parley_testing.telemetry.filled_tables import SAMPLES, fill_tables
from parley_testing.telemetry.query_plans import QueryPlan, argument_types, explain, explain_prepared
from parley_testing.telemetry.statements import service_statements

pytestmark = [pytest.mark.integration, pytest.mark.chaos]

SERVICES = ["auth", "chat", "history", "webhooks"]
ROWS = 20_000
ALLOWED_RATIO, ALLOWED_ROWS = 3, 200
"""What an early plan may read more than a custom one."""
_FEW_LINKS = "The table has few rows: a link is deleted when it is used, and each minute if it has expired."
KNOWN = {
    "auth.email_verification.postgres._USE": _FEW_LINKS,
    "auth.password_resets.postgres._FIND": _FEW_LINKS,
    "auth.password_resets.postgres._USE": _FEW_LINKS,
    "chat.storage.erasure_statements.TURNS_WITHOUT_CONVERSATION": "It reads the turns of one user.",
    "chat.storage.postgres_verification._ACCEPTED": "`parley verify` connects for one run.",
    "history.erasure.postgres._DELETED": "At worst, it reads the deleted conversations of all users, for an erasure.",
    "history.erasure.postgres._ERASE_CONVERSATIONS": "As the statement before.",
    "history.search.postgres._FIND_UNMOVED": "It reads the messages of one person that an earlier release has stored.",
    "parley.messaging.outbox.store._WAITING": "Only a relay executes it, whose connection has no bitmap scans.",
    "webhooks.sending.claim_statements.WEBHOOKS": "It reads all webhooks, which people make.",
}


@dataclass(frozen=True)
class Prepared:
    """A statement that ``connection`` has prepared under a name, and its arguments."""

    connection: Connection
    name: str
    statement: str
    text: str
    arguments: list[Any]

    async def generic_plan(self, *, analyze: bool) -> QueryPlan | None:
        """Return the plan, which is made once. It is None for an insertion of samples that do not fit."""
        try:
            return await explain_prepared(
                self.connection, self.name, self.arguments, "force_generic_plan", analyze=analyze
            )
        except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError):
            return None


@pytest.mark.parametrize("rows", [0, 60, 600])
@pytest.mark.parametrize("service", SERVICES)
async def test_a_plan_made_for_small_tables_reads_little_of_large_ones(
    backends: SharedBackends, service: str, rows: int
) -> None:
    degraded = list[str]()
    async with empty_database(backends, service) as (connection, other):
        if rows:
            await fill_tables(other, rows)
            await other.execute("VACUUM ANALYZE")
        planned = [one async for one in _prepare(connection, service) if await one.generic_plan(analyze=False)]
        await fill_tables(other, ROWS)
        early = [(one, plan) for one in planned if (plan := await one.generic_plan(analyze=True))]
        await other.execute("VACUUM ANALYZE")
        for one, plan in early:
            custom = await explain(other, one.text, one.arguments, "force_custom_plan")
            if plan.work > ALLOWED_RATIO * custom.work + ALLOWED_ROWS:
                degraded.append(f"{one.statement}: {custom.work} rows, early {plan.work}\n{plan.summary}")
    assert len(early) > 20
    assert not degraded, "\n".join(degraded)


async def _prepare(connection: Connection, service: str) -> AsyncIterator[Prepared]:
    for number, (statement, text) in enumerate(service_statements(service)):
        if statement not in KNOWN:
            arguments = [SAMPLES[one] for one in await argument_types(connection, text)]
            await connection.execute(f"PREPARE early_{number} AS {text}")
            yield Prepared(connection, f"early_{number}", statement, text, arguments)
