"""The Postgres pool: bounded, with time limits on both sides, JSON as Python objects."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import TypeAlias

import asyncpg
import orjson

from parley.errors import DependencyUnavailable

COMMAND_TIMEOUT = 10.0
CONNECT_TIMEOUT = 3.0
ACQUIRE_TIMEOUT = 3.0
_SERVER_SETTINGS = {
    "statement_timeout": "10000",
    "idle_in_transaction_session_timeout": "15000",
    "timezone": "UTC",
    "jit": "off",
}

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

POSTGRES_UNAVAILABLE: tuple[type[BaseException], ...] = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that breaks inside an operation
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.QueryCanceledError,
)
"""What asyncpg raises when the database is away, starting, stopping or too slow."""


@contextlib.asynccontextmanager
async def open_pool(dsn: str, *, size: int = 10, application: str = "parley") -> AsyncIterator[Pool]:
    """Open a pool of at most ``size`` connections; raises DependencyUnavailable when the database is away."""
    pool = await asyncpg.create_pool(
        dsn,
        min_size=1,
        max_size=size,
        command_timeout=COMMAND_TIMEOUT,
        timeout=CONNECT_TIMEOUT,
        init=set_json_codecs,
        reset=skip_reset,
        server_settings={**_SERVER_SETTINGS, "application_name": application},
    )
    try:
        yield pool
    finally:
        await _close(pool)


async def set_json_codecs(connection: Connection) -> None:
    """Teach a new connection to speak JSON."""
    for name in ("json", "jsonb"):
        await connection.set_type_codec(name, encoder=_dumps, decoder=orjson.loads, schema="pg_catalog", format="text")


async def skip_reset(connection: object) -> None:
    """Return a connection to the pool: asyncpg itself has ended a transaction that was open.

    What it would do besides, a round trip as dear as a small query, is needed by nobody here: settings are changed and
    locks are taken for a transaction only.
    """
    del connection


@contextlib.contextmanager
def translate_unavailable(what: str = "The database") -> Iterator[None]:
    """Turn every sign of an absent database into DependencyUnavailable."""
    try:
        yield
    except POSTGRES_UNAVAILABLE as error:
        raise DependencyUnavailable(f"{what} cannot be reached right now.") from error


async def ping(pool: Pool) -> None:
    """Raise when the database does not answer."""
    await pool.fetchval("SELECT 1", timeout=2)


async def _close(pool: Pool) -> None:
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            await pool.close()
    except TimeoutError:
        pool.terminate()


def _dumps(value: object) -> str:
    return orjson.dumps(value).decode()
