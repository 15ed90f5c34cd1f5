"""Every statement of the services on filled tables: a generic plan reads no more than a custom one."""

import asyncpg
import pytest

from parley_testing.backends.filled_database import filled_database
from parley_testing.backends.shared_servers import SharedBackends
from parley_testing.telemetry.filled_tables import SAMPLES
from parley_testing.telemetry.query_plans import PLAN_MODES, argument_types, explain
from parley_testing.telemetry.statements import statements

pytestmark = [pytest.mark.integration, pytest.mark.chaos]

ROWS = 20_000
ALLOWED_RATIO, ALLOWED_ROWS = 3, 100
"""What a generic plan may read more than a custom one."""
KNOWN = {
    "auth.accounts.postgres._SEARCH": "Administrators search names in all accounts, newest first.",
    "history.search.postgres._FIND": "A search reads what its terms match. A sample has no meaningful terms.",
    "history.search.postgres._FIND_UNMOVED": "It reads the messages of one person that an earlier release has stored.",
}


@pytest.mark.parametrize("service", ["auth", "chat", "history", "webhooks"])
async def test_a_generic_plan_reads_no_more_than_a_custom_one(backends: SharedBackends, service: str) -> None:
    compared, degraded = 0, list[str]()
    async with filled_database(backends, service, ROWS) as connection:
        for statement, text in [*statements(service), *statements("parley.messaging.outbox")]:
            if statement in KNOWN:
                continue
            arguments = [SAMPLES[one] for one in await argument_types(connection, text)]
            try:
                plans = [await explain(connection, text, arguments, mode) for mode in PLAN_MODES]
            except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError):
                continue  # an insertion of samples that do not fit
            compared += 1
            custom, generic = (plan.work for plan in plans)
            if generic > ALLOWED_RATIO * custom + ALLOWED_ROWS:
                degraded.append(f"{statement}: {custom} rows, generic {generic}\n{plans[1].summary}")
    assert compared > 20
    assert not degraded, "\n".join(degraded)
