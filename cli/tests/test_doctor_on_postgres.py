"""`parley doctor` on PostgreSQL: a read-only database, pending migrations, old events, and a wrong login."""

from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from parley.ids import new_id
from parley.messaging import outbox
from parley.storage.migrations import migrate
from parley_cli.diagnosis.checks import check_system
from parley_cli.diagnosis.findings import Finding
from parley_cli.diagnosis.system import System
from parley_testing.backends.shared_servers import SharedBackends
from parley_testing.faults.read_only import read_only_database

pytestmark = pytest.mark.integration
TIMEOUT = 30


@pytest.fixture
async def dsn(backends: SharedBackends) -> AsyncIterator[str]:
    async def fill(new: str) -> None:
        await migrate(new, outbox.MIGRATIONS, "chat")

    url = await backends.fresh_database(fill, "doctor")
    yield url
    await backends.drop(url)


async def problems(dsn: str) -> dict[str, Finding]:
    found, _ = await check_system(System(folders={}, databases={"chat": dsn}), TIMEOUT)
    return {finding.code: finding for finding in found if finding.code not in {"ok", "postgres_slow"}}


async def test_problems_of_a_database_are_found_one_after_another(dsn: str) -> None:
    assert await problems(dsn) == {}
    async with read_only_database(dsn):
        assert list(await problems(dsn)) == ["postgres_read_only"]
    connection = await asyncpg.connect(dsn)
    await connection.execute("DELETE FROM schema_migrations WHERE source = 'chat' AND number = 1")
    await connection.execute(
        "INSERT INTO outbox (id, name, subject, partition_key, sequence, data, time) "
        "VALUES ($1, 'x', 'x', 'x', 1, '{}', now() - interval '1 hour')",
        new_id(),
    )
    await connection.close()
    found = await problems(dsn)
    assert list(found) == ["migrations_pending", "outbox_old"]
    assert found["migrations_pending"].facts["pending"] == ["chat 0001"]
    assert found["outbox_old"].facts["pending"] == 1


async def test_a_wrong_name_of_the_database_is_not_taken_for_an_outage(dsn: str) -> None:
    wrong = urlunsplit(urlsplit(dsn)._replace(path="/nothing"))
    assert list(await problems(wrong)) == ["postgres_refused"]
