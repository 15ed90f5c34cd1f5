"""Every statement of the services on filled tables: what plans read does not depend on the plan or on other users."""

from collections.abc import Iterator, Sequence
from typing import Any

import asyncpg
import pytest

from parley.storage.postgres import Connection
from parley_testing.backends.filled_database import filled_database
from parley_testing.backends.shared_servers import SharedBackends
from parley_testing.telemetry.filled_tables import EVEN, SAMPLE, SAMPLES, first_page, skewed
from parley_testing.telemetry.query_plans import PLAN_MODES, QueryPlan, argument_types, explain
from parley_testing.telemetry.statements import service_statements

pytestmark = [pytest.mark.integration, pytest.mark.chaos]

SERVICES = ["auth", "chat", "history", "webhooks"]
ROWS = 20_000
ALLOWED_RATIO, ALLOWED_ROWS = 3, 100
"""What a generic plan may read more than a custom one."""
MOST_ROWS = 200
"""What a statement may read for a user with 20 rows: each by an index and from the table, also old versions."""
MOST_ROWS_OF_PAGE = 200
"""What it may read for a page of 20 rows or a batch of as many."""
MANY = 1
"""A group with a third of the rows, see ``skewed``."""
KNOWN = {
    "auth.accounts.postgres._SEARCH": "Administrators search names in all accounts, newest first.",
    "history.search.postgres._FIND": "A search reads what its terms match. A sample has no meaningful terms.",
    "history.search.postgres._FIND_UNMOVED": "It reads the messages of one person that an earlier release has stored.",
}
_ALL_RUNNING = "It reads all running turns, as many as the processes run. Here, a tenth of all turns run."
READS_ALL = {
    "auth.revocations.postgres._LIVE": "Expired revocations are purged each minute.",
    "auth.sessions.postgres._FORGET_DEVICES": "A user has few devices, because this statement removes the others.",
    "auth.sessions.postgres._SURPLUS": "A user has few sessions, because this statement ends the others.",
    "chat.storage.postgres_runners._LEFT_BEHIND": _ALL_RUNNING,
    "history.conversations.postgres._IDS": "An export reads the IDs of all conversations from an index.",
    "history.conversations.postgres._TITLED": "It compares the titles between two positions.",
    "webhooks.deliveries.postgres._REDELIVER_RANGE": "It finds the end of the range.",
}
"""Statements that read all rows of a user for a page or a batch, and why they may."""
OF_ALL_USERS = {
    "auth.revocations.postgres._LIVE": "Expired revocations are purged each minute. Here, a thousand are left.",
    "chat.storage.erasure_statements.CANCEL_USER": _ALL_RUNNING,
    "chat.storage.postgres_runners._LEFT_BEHIND": _ALL_RUNNING,
    "chat.storage.postgres_runners._RENEW_LEASE": _ALL_RUNNING,
    "webhooks.intake.postgres._MATCH_ANY": "Webhooks of administrators for all users are few. Here, half of them are.",
    "webhooks.intake.postgres._MATCHES": "As the statement before.",
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
            if statement in OF_ALL_USERS or not {"uuid", "uuid[]", "bytea"} & set(types):
                continue
            compared += 1
            for arguments in _with_and_without_positions(types):
                for plan in await _plans(connection, text, arguments):
                    if plan.work > MOST_ROWS:
                        slow.append(f"{statement}: {plan.work} rows\n{plan.summary}")
    assert compared > 20
    assert not slow, "\n".join(slow)


@pytest.mark.parametrize(("groups", "user"), [(skewed(ROWS), MANY), (EVEN, SAMPLE)], ids=["of three", "of fifty"])
@pytest.mark.parametrize("service", SERVICES)
async def test_a_page_or_a_batch_does_not_take_all_rows_of_a_user(
    backends: SharedBackends, service: str, groups: str, user: int
) -> None:
    compared, slow = 0, list[str]()
    async with filled_database(backends, service, ROWS, groups) as connection:
        for statement, text in _statements(service):
            types = await argument_types(connection, text)
            if "uuid" not in types or "LIMIT" not in text or statement in READS_ALL:
                continue
            compared += 1
            for plan in await _plans(connection, text, first_page(types, user)):
                if _has_page(plan) and plan.work > MOST_ROWS_OF_PAGE:
                    slow.append(f"{statement}: {plan.work} rows\n{plan.summary}")
    assert compared > 3
    assert not slow, "\n".join(slow)


def _has_page(plan: QueryPlan) -> bool:
    """Tell whether a part with a limit has rows. Without them, the arguments are not those of a first page."""
    return any(node["Node Type"] == "Limit" and node["Actual Rows"] for node in plan.nodes)


def _statements(service: str) -> Iterator[tuple[str, str]]:
    for statement, text in service_statements(service):
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
