"""Every statement of the services on filled tables: a generic plan reads no more than a custom one."""

import importlib
import pkgutil
import re
from collections.abc import Iterator

import asyncpg
import pytest

from parley.messaging import outbox
from parley.storage import migrations
from parley.storage.named_parameters import NamedStatement
from parley.storage.postgres import open_pool
from parley_testing.backends.shared_servers import SharedBackends
from parley_testing.telemetry.filled_tables import SAMPLES, fill_tables
from parley_testing.telemetry.query_plans import PLAN_MODES, explain

pytestmark = [pytest.mark.integration, pytest.mark.chaos]

ROWS = 20_000
ALLOWED_RATIO, ALLOWED_ROWS = 3, 100
"""What a generic plan may read more than a custom one."""
FRAGMENTS = {
    "chat.storage.turn_lists._LIST",
    "history.conversations.postgres._CONVERSATION_COLUMNS",
    "history.messages.postgres._COLUMNS",
    "history.messages.postgres._PATH",
    "history.messages.postgres._TREE",
    "webhooks.deliveries.postgres._SELECT",
    "webhooks.endpoints.postgres._SELECT",
    "webhooks.sending.postgres._HEADS",
}
"""Constants that are parts of statements."""
KNOWN = {
    "auth.accounts.postgres._SEARCH": "Administrators search names in all accounts, newest first.",
    "history.search.postgres._FIND": "A search reads what its terms match. A sample has no meaningful terms.",
    "history.search.postgres._FIND_UNMOVED": "It reads the messages of one person that an earlier release has stored.",
}
_STATEMENT = re.compile(r"\s*(WITH|SELECT|INSERT|UPDATE|DELETE)\b")
_TYPES = "SELECT parameter_types::text[] FROM pg_prepared_statements WHERE name = 'typed'"


def _statements(package: str) -> Iterator[tuple[str, str]]:
    """Yield the name and text of every constant of a package that is a statement."""
    for info in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
        if info.name.rpartition(".")[2] in ("main", "__main__", "worker"):
            continue
        for name, value in vars(importlib.import_module(info.name)).items():
            parts = value if isinstance(value, tuple) else [value]
            full_name = f"{info.name}.{name}"
            for part in parts if name.isupper() and full_name not in FRAGMENTS else ():
                text = part.sql if isinstance(part, NamedStatement) else part
                if isinstance(text, str) and _STATEMENT.match(text):
                    yield full_name, text


@pytest.mark.parametrize("service", ["auth", "chat", "history", "webhooks"])
async def test_a_generic_plan_reads_no_more_than_a_custom_one(backends: SharedBackends, service: str) -> None:
    async def migrate(dsn: str) -> None:
        await migrations.migrate(dsn, outbox.MIGRATIONS, service)

    name = (await backends.fresh_database(migrate, f"plans {service}")).partition("?")[0].rpartition("/")[2]
    dsn = re.sub(r"/\w+(\?|$)", rf"/{name}\1", await backends.database_url())
    compared, degraded = 0, list[str]()
    async with open_pool(dsn, size=1) as pool, pool.acquire() as connection:
        await connection.execute("SET statement_timeout = 0")
        await fill_tables(connection, ROWS)
        for statement, text in [*_statements(service), *_statements("parley.messaging.outbox")]:
            if statement in KNOWN:
                continue
            await connection.execute(f"PREPARE typed AS {text}")
            arguments = [SAMPLES[one] for one in await connection.fetchval(_TYPES)]
            await connection.execute("DEALLOCATE typed")
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
