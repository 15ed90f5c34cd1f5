"""A database of a service with rows in every table, to explain statements on."""

import contextlib
from collections.abc import AsyncIterator

from parley.messaging import outbox
from parley.storage import migrations
from parley.storage.postgres import Connection, open_pool
from parley_testing.backends.shared_servers import SharedBackends
from parley_testing.telemetry.filled_tables import EVEN, fill_tables


@contextlib.asynccontextmanager
async def filled_database(
    backends: SharedBackends, service: str, rows: int, group: str = EVEN
) -> AsyncIterator[Connection]:
    """Lend a superuser's connection to a new database of a service, with rows of groups in every table."""

    async def migrate(dsn: str) -> None:
        await migrations.migrate(dsn, outbox.MIGRATIONS, service)

    database = await backends.fresh_database(migrate, f"to fill {service}")
    async with open_pool(await backends.superuser_url(database), size=1) as pool, pool.acquire() as connection:
        await connection.execute("SET statement_timeout = 0")
        await fill_tables(connection, rows, group)
        yield connection
    await backends.drop(database)
