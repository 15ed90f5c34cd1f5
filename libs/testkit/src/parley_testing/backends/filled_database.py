"""A database of a service with rows in every table, to explain statements on."""

import contextlib
from collections.abc import AsyncIterator

import asyncpg

from parley.messaging import outbox
from parley.storage import migrations
from parley.storage.postgres import PLANNER_SETTINGS, Connection
from parley_testing.backends.shared_servers import SharedBackends
from parley_testing.telemetry.filled_tables import EVEN, fill_tables


@contextlib.asynccontextmanager
async def filled_database(
    backends: SharedBackends, service: str, rows: int, group: str = EVEN
) -> AsyncIterator[Connection]:
    """Lend a superuser's connection to a new database of a service, with rows of groups in every table.

    It plans as the connections of the services do.
    """
    async with empty_database(backends, service) as (connection, other):
        await fill_tables(other, rows, group)
        await connection.execute("VACUUM ANALYZE")
        yield connection


@contextlib.asynccontextmanager
async def empty_database(backends: SharedBackends, service: str) -> AsyncIterator[tuple[Connection, Connection]]:
    """Lend two connections of a superuser to a new database of a service. They plan as those of the services do."""

    async def migrate(dsn: str) -> None:
        await migrations.migrate(dsn, outbox.MIGRATIONS, service)

    database = await backends.fresh_database(migrate, f"to fill {service}")
    # A pool of its own: statements that fill tables may take longer on a busy machine than the product allows.
    url = await backends.superuser_url(database)
    async with (
        asyncpg.create_pool(url, min_size=1, max_size=2, server_settings=PLANNER_SETTINGS) as pool,
        pool.acquire() as connection,
        pool.acquire() as other,
    ):
        yield connection, other
    await backends.drop(database)
