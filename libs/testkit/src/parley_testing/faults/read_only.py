"""A database that refuses writes, as a demoted server does."""

import contextlib
from collections.abc import AsyncIterator

import asyncpg

QUERY_TIMEOUT = 5.0
_END_SESSIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"""


@contextlib.asynccontextmanager
async def read_only_database(dsn: str) -> AsyncIterator[None]:
    """Make a database refuse writes while the context is open.

    Sessions that were opened meanwhile stay read-only afterwards, as connections to a demoted server do; only new ones
    reach the writer.
    """
    connection = await asyncpg.connect(dsn, timeout=QUERY_TIMEOUT, command_timeout=QUERY_TIMEOUT)
    try:
        await connection.execute("SET default_transaction_read_only = off")
        name = await connection.fetchval("SELECT quote_ident(current_database())")
        await connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        await connection.execute(_END_SESSIONS)
        try:
            yield
        finally:
            await connection.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    finally:
        await connection.close()
