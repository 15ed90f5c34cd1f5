"""Database access that maps every connection failure to DependencyUnavailable."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import asyncpg

from parley.storage.postgres import ACQUIRE_TIMEOUT, Connection, Pool, translate_unavailable

Row: TypeAlias = asyncpg.Record
WHAT = "The conversation database"


class Database:
    """A connection pool whose failures are raised as DependencyUnavailable."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Acquire a connection for the duration of the context."""
        with translate_unavailable(WHAT):
            async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT) as connection:
                yield connection

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Acquire a connection and run the body of the context in one transaction."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def fetch(self, query: str, *arguments: Any) -> list[Row]:
        """Return all rows of a query."""
        async with self.connection() as connection:
            found: list[Row] = await connection.fetch(query, *arguments)
            return found

    async def row(self, query: str, *arguments: Any) -> Row | None:
        """Return the first row of a query, or None."""
        async with self.connection() as connection:
            return await connection.fetchrow(query, *arguments)

    async def value(self, query: str, *arguments: Any) -> Any:
        """Return the first column of the first row of a query."""
        async with self.connection() as connection:
            return await connection.fetchval(query, *arguments)
