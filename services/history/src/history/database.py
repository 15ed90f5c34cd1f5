"""Access to the conversation database."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from uuid import UUID

from parley.process.locks import KeyedLocks, held_within
from parley.storage.connection_queue import ConnectionQueue
from parley.storage.database import PostgresDatabase
from parley.storage.database import Row as Row  # noqa: PLC0414 - the stores import it from here
from parley.storage.postgres import Connection, Pool

TOO_LONG = "Another change of this account takes long. Try again later."
PERSON_TIMEOUT = 10.0
"""Seconds that a change of a person waits for those before it."""


class Database(PostgresDatabase):
    """The conversation database."""

    def __init__(
        self, pool: Pool, queue: ConnectionQueue | None = None, *, person_timeout: float = PERSON_TIMEOUT
    ) -> None:
        super().__init__(pool, "The conversation database", queue=queue)
        self._persons, self._person_timeout = KeyedLocks(asyncio.Lock), person_timeout

    @contextlib.asynccontextmanager
    async def person_transaction(self, user_id: UUID) -> AsyncIterator[Connection]:
        """Lend a connection in a transaction that holds the lock of a person; raises Overloaded.

        Changes of the same person wait here first, without a connection: while one takes long, such as an import,
        those that wait for it would otherwise occupy the connections that the requests of everybody need.
        """
        mine = held_within(self._person_timeout, self._persons.of(user_id), TOO_LONG)
        async with mine, self.transaction() as connection:
            await connection.execute("SELECT lock_person($1)", user_id)
            yield connection
