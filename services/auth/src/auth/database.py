"""Access to the account database, with connection failures as DependencyUnavailable."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import asyncpg

from parley.storage.postgres import ACQUIRE_TIMEOUT, Connection, Pool, translate_unavailable

Row: TypeAlias = asyncpg.Record
DEPENDENCY_NAME = "The account database"


class AccountDatabase:
    """Queries and transactions over a pool; raises DependencyUnavailable if the database is unavailable."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Open a transaction that commits unless the block raises."""
        with translate_unavailable(DEPENDENCY_NAME):
            async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT) as connection, connection.transaction():
                yield connection

    async def fetch(self, query: str, *arguments: Any) -> list[Row]:
        """Return the rows of a query."""
        async with self._connection() as connection:
            found: list[Row] = await connection.fetch(query, *arguments)
            return found

    async def row(self, query: str, *arguments: Any) -> Row | None:
        """Return the first row of a query, if any."""
        async with self._connection() as connection:
            return await connection.fetchrow(query, *arguments)

    async def execute(self, query: str, *arguments: Any) -> int:
        """Execute a statement; returns the number of affected rows."""
        async with self._connection() as connection:
            status: str = await connection.execute(query, *arguments)
            return int(status.rpartition(" ")[2])

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        with translate_unavailable(DEPENDENCY_NAME):
            async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT) as connection:
                yield connection
