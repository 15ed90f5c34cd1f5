"""Every statement of the services on filled tables: what plans read does not depend on the plan or on other users."""

from collections.abc import Iterator, Sequence
from typing import Any

import asyncpg
import pytest

from parley.storage.postgres import Connection
from parley_testing.backends.filled_database import filled_database
from parley_testing.backends.shared_servers import SharedBackends
from parley_testing.telemetry.filled_tables import SAMPLES, skewed
from parley_testing.telemetry.query_plans import PLAN_MODES, QueryPlan, argument_types, explain
from parley_testing.telemetry.statements import statements

pytestmark = [pytest.mark.integration, pytest.mark.chaos]

SERVICES = ["auth", "chat", "history", "webhooks"]
ROWS = 20_000
ALLOWED_RATIO, ALLOWED_ROWS = 3, 100
"""What a generic plan may read more than a custom one."""
MOST_ROWS = 200
"""What a statement may read for a user with 20 rows: each by an index and from the table, also old versions."""
KNOWN = {
    "auth.accounts.postgres._SEARCH": "Administrators search names in all accounts, newest first.",
    "history.search.postgres._FIND": "A search reads what its terms match. A sample has no meaningful terms.",
    "history.search.postgres._FIND_UNMOVED": "It reads the messages of one person that an earlier release has stored.",
}
OF_ALL_USERS = {
    "auth.revocations.postgres._LIVE": "Expired revocations are purged each minute. Here, a thousand are left.",
    "webhooks.intake.postgres._MATCHES": "Webhooks of administrators for all users are few. Here, half of them are.",
    "webhooks.sending.postgres._RENEW": "Deliveries that are being sent are few. Here, all are.",
}


@pytest.mark.parametrize("service", SERVICES)
async def test_a_generic_plan_reads_no_more_than_a_custom_one(backends: SharedBackends, service: str) -> None:
    compared, degraded = 0, list[str]()
    async with filled_database(backends, service, ROWS) as connection:
        for statement, text in _statements(service):
            arguments = [SAMPLES[one] for one in await argument_types(connection, text)]
            plans = await _plans(connection, text, arguments)
            if not plans:
                continue
            compared += 1
            custom, generic = (plan.work for plan in plans)
            if generic > ALLOWED_RATIO * custom + ALLOWED_ROWS:
                degraded.append(f"{statement}: {custom} rows, generic {generic}\n{plans[1].summary}")
    assert compared > 20
    assert not degraded, "\n".join(degraded)


@pytest.mark.parametrize("service", SERVICES)
async def test_a_user_with_few_rows_does_not_wait_for_those_of_users_with_many(
    backends: SharedBackends, service: str
) -> None:
    compared, slow = 0, list[str]()
    async with filled_database(backends, service, ROWS, skewed(ROWS)) as connection:
        for statement, text in _statements(service):
            types = await argument_types(connection, text)
            if statement in OF_ALL_USERS or not {"uuid", "uuid[]"} & set(types):
                continue
            compared += 1
            for arguments in _with_and_without_positions(types):
                for plan in await _plans(connection, text, arguments):
                    if plan.work > MOST_ROWS:
                        slow.append(f"{statement}: {plan.work} rows\n{plan.summary}")
    assert compared > 20
    assert not slow, "\n".join(slow)


def _statements(service: str) -> Iterator[tuple[str, str]]:
    for statement, text in [*statements(service), *statements("parley.messaging.outbox")]:
        if statement not in KNOWN:
            yield statement, text


async def _plans(connection: Connection, text: str, arguments: Sequence[Any]) -> list[QueryPlan]:
    """Return a custom and a generic plan, or none for an insertion of samples that do not fit."""
    try:
        return [await explain(connection, text, arguments, mode) for mode in PLAN_MODES]
    except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError):
        return []


def _with_and_without_positions(types: Sequence[str]) -> Iterator[list[Any]]:
    """Return the samples as they are, and with NULL for each UUID but the first: the owner and the start of a list."""
    samples = [SAMPLES[one] for one in types]
    yield samples
    owner = types.index("uuid") if "uuid" in types else None
    yield [
        None if one == "uuid" and place != owner else sample
        for place, (one, sample) in enumerate(zip(types, samples, strict=True))
    ]
