"""Access to the conversation database."""

import asyncio
import contextlib
import weakref
from collections.abc import AsyncIterator
from uuid import UUID

from parley.errors import Overloaded
from parley.process.timeouts import at_most
from parley.storage.connection_queue import ConnectionQueue
from parley.storage.database import PostgresDatabase
from parley.storage.database import Row as Row  # noqa: PLC0414 - the stores import it from here
from parley.storage.postgres import Connection, Pool

PERSON_TIMEOUT = 10.0
"""Seconds that a change of a person waits for those before it."""


class Database(PostgresDatabase):
    """The conversation database."""

    def __init__(
        self, pool: Pool, queue: ConnectionQueue | None = None, *, person_timeout: float = PERSON_TIMEOUT
    ) -> None:
        super().__init__(pool, "The conversation database", queue=queue)
        self._person_timeout = person_timeout
        # An entry exists while a change of the person waits or runs.
        self._persons: weakref.WeakValueDictionary[UUID, asyncio.Lock] = weakref.WeakValueDictionary()

    @contextlib.asynccontextmanager
    async def person_transaction(self, user_id: UUID) -> AsyncIterator[Connection]:
        """Lend a connection in a transaction that holds the lock of a person; raises Overloaded.

        Changes of the same person wait here first, without a connection: while one takes long, such as an import,
        those that wait for it would otherwise occupy the connections that the requests of everybody need.
        """
        mine = self._persons.setdefault(user_id, asyncio.Lock())
        async with contextlib.AsyncExitStack() as stack:
            async with at_most(self._person_timeout) as wait:
                await stack.enter_async_context(mine)
            if wait.expired:
                raise Overloaded("Another change of this account takes long. Try again later.")
            connection = await stack.enter_async_context(self.transaction())
            await connection.execute("SELECT lock_person($1)", user_id)
            yield connection
