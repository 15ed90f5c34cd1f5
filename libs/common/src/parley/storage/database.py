"""Access to one Postgres database: outages as DependencyUnavailable, stale connections replaced, conflicts retried."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias, TypeVar

import asyncpg

from parley.storage.connection_queue import ConnectionQueue
from parley.storage.postgres import ACQUIRE_TIMEOUT, Connection, Pool, row_count, translate_unavailable
from parley.storage.postgres_errors import is_conflict, is_stale

Row: TypeAlias = asyncpg.Record
T = TypeVar("T")

CONFLICT_ATTEMPTS = 10
"""Attempts at a statement that conflicts with concurrent ones. Not limited by time: Postgres takes a second to detect
one deadlock."""
CONFLICT_DELAY = 0.05
"""Maximum seconds before the second attempt; multiplied by the number of failed attempts."""
DISCARD_INTERVAL = 1.0
"""Seconds between two replacements of all connections, because a read-only server may stay the only one."""


class PostgresDatabase:
    """Queries and transactions over a pool; raises DependencyUnavailable while the database is unavailable.

    Single statements are retried after a conflict. An error that tells of a failover replaces all pooled connections,
    so that the next ones reach the new writer.
    """

    def __init__(
        self,
        pool: Pool,
        name: str = "The database",
        *,
        queue: ConnectionQueue | None = None,
        urgent: bool = False,
    ) -> None:
        """Use ``pool``; errors call the database ``name``.

        Statements wait in ``queue``, before others if ``urgent``. Without a queue, they are background work.
        """
        self._pool, self._name, self._queue, self._urgent = pool, name, queue, urgent
        self._discarded_at = float("-inf")

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection for the duration of the context."""
        with translate_unavailable(self._name):
            user = await self._queue.acquire(urgent=self._urgent) if self._queue is not None else None
            try:
                async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT) as connection:
                    yield connection
            except Exception as error:
                await self._discard_if_stale(error)
                raise
            finally:
                if self._queue is not None:
                    self._queue.release(user)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Lend a connection in a transaction, which commits unless the context raises."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def fetch(self, query: str, *arguments: Any) -> list[Row]:
        """Return the rows of a statement."""
        return await self._run(lambda connection: connection.fetch(query, *arguments))

    async def row(self, query: str, *arguments: Any) -> Row | None:
        """Return the first row of a statement, or None."""
        return await self._run(lambda connection: connection.fetchrow(query, *arguments))

    async def value(self, query: str, *arguments: Any) -> Any:
        """Return the first column of the first row of a statement."""
        return await self._run(lambda connection: connection.fetchval(query, *arguments))

    async def execute(self, query: str, *arguments: Any) -> int:
        """Execute a statement; return the number of affected rows."""
        return row_count(await self._run(lambda connection: connection.execute(query, *arguments)))

    async def _run(self, statement: Callable[[Connection], Awaitable[T]]) -> T:
        with translate_unavailable(self._name):
            for failures in range(1, CONFLICT_ATTEMPTS):
                try:
                    return await self._run_once(statement)
                except Exception as error:
                    if not is_conflict(error):
                        raise
                await asyncio.sleep(random.uniform(0, CONFLICT_DELAY * failures))  # noqa: S311 - jitter
            return await self._run_once(statement)

    async def _run_once(self, statement: Callable[[Connection], Awaitable[T]]) -> T:
        user = await self._queue.acquire(urgent=self._urgent) if self._queue is not None else None
        try:
            async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT) as connection:
                return await statement(connection)
        except Exception as error:
            await self._discard_if_stale(error)
            raise
        finally:
            if self._queue is not None:
                self._queue.release(user)

    async def _discard_if_stale(self, error: Exception) -> None:
        if is_stale(error):
            await self.discard_connections()

    async def discard_connections(self) -> None:
        """Replace every pooled connection at its next use; at most once in ``DISCARD_INTERVAL`` seconds."""
        now = time.monotonic()
        if now - self._discarded_at >= DISCARD_INTERVAL:
            self._discarded_at = now
            await self._pool.expire_connections()
