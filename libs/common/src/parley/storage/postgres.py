"""Postgres connection pool: bounded, with client and server timeouts, and JSON as Python objects."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import TypeAlias

import asyncpg
import orjson

from parley.errors import DependencyUnavailable
from parley.process.timeouts import at_most
from parley.storage.connection_gate import ConnectionGate
from parley.storage.postgres_errors import is_transient
from parley.storage.postgres_internals import detect_loss

COMMAND_TIMEOUT = 10.0
CONNECT_TIMEOUT = 3.0
ACQUIRE_TIMEOUT = 3.0
PLANNER_SETTINGS = {
    "jit": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    "random_page_cost": "1.1",
}
"""Every statement finds a few rows by indexes, and joins them by a loop over an index. Of a small table, Postgres would
rather read everything, and it keeps such a plan until it analyzes the table again, up to a minute of growth later.

A random read costs hardly more than another one, as in memory and on SSDs. Postgres' default is for disks: with it,
a generic plan sorts all rows of a user where an index has a page of them in order."""
_SERVER_SETTINGS = {
    "statement_timeout": "10000",
    "idle_in_transaction_session_timeout": "15000",
    "timezone": "UTC",
    **PLANNER_SETTINGS,
}

PING_TIMEOUT = 2.0

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
Executor: TypeAlias = "Pool | Connection | asyncpg.Connection[asyncpg.Record]"


@contextlib.asynccontextmanager
async def open_pool(
    dsn: str,
    *,
    size: int = 10,
    minimum: int = 1,
    application: str = "parley",
    gate: ConnectionGate | None = None,
) -> AsyncIterator[Pool]:
    """Open a pool of ``minimum`` to ``size`` connections, through ``gate`` if there is one.

    asyncpg keeps the minimum open, however long it is idle, and replaces what the server closes.

    Raises the error of asyncpg or the network if it fails.
    """
    pool = await asyncpg.create_pool(
        dsn,
        connect=gate.connect if gate else None,
        min_size=min(minimum, size),
        max_size=size,
        command_timeout=COMMAND_TIMEOUT,
        timeout=CONNECT_TIMEOUT,
        init=_prepare,
        reset=skip_reset,
        server_settings={**_SERVER_SETTINGS, "application_name": application},
    )
    try:
        yield pool
    finally:
        await _close(pool)


async def set_json_codecs(connection: Connection) -> None:
    """Make a new connection encode and decode JSON."""
    for name in ("json", "jsonb"):
        await connection.set_type_codec(name, encoder=_dumps, decoder=orjson.loads, schema="pg_catalog", format="text")


async def _prepare(connection: Connection) -> None:
    detect_loss(connection)
    await set_json_codecs(connection)


async def allow_long_statements(connection: Connection, seconds: float) -> None:
    """Allow the statements of this transaction more time than requests have.

    A connection of ``open_pool`` ends each call itself, too: pass it ``timeout=seconds``.
    """
    await connection.execute(f"SET LOCAL statement_timeout = '{int(seconds)}s'")


def row_count(status: str) -> int:
    """Return the number of rows in the status of a command, such as ``DELETE 3``."""
    return int(status.rpartition(" ")[2])


async def skip_reset(connection: object) -> None:
    """Skip the reset query when a connection returns to the pool.

    It costs as much as a small query and is not needed: settings and locks are always local to a transaction, and
    asyncpg ends an open transaction without it.
    """
    del connection


@contextlib.contextmanager
def translate_unavailable(what: str = "The database") -> Iterator[None]:
    """Raise DependencyUnavailable in place of every transient error of Postgres."""
    try:
        yield
    except Exception as error:
        if not is_transient(error):
            raise
        raise DependencyUnavailable(f"{what} is temporarily unavailable. Try again later.") from error


class DatabaseReadOnly(Exception):
    """The database refuses writes: the server is a standby, or was made read-only."""

    status_detail = "read only"


async def require_writable(connection: Executor, *, timeout: float = PING_TIMEOUT) -> None:
    """Raise DatabaseReadOnly, or the error of a database that does not respond."""
    if await connection.fetchval("SHOW transaction_read_only", timeout=timeout) == "on":
        raise DatabaseReadOnly


async def _close(pool: Pool) -> None:
    async with at_most(CONNECT_TIMEOUT) as wait:
        await pool.close()
    if wait.expired:
        pool.terminate()


def _dumps(value: object) -> str:
    return orjson.dumps(value).decode()
