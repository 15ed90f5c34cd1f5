"""Erasure in batches: each is a transaction of its own, and one call takes a bounded time."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from chat.storage import erasure_statements as sql
from chat.storage.postgres_turns import PostgresTurnStore
from parley.storage.erasure import ERASURE_TIMEOUT, WorkTime
from parley.storage.postgres import Connection, allow_long_statements

BATCH_SIZE = 1000
"""Rows that one transaction changes."""
PAGE_SIZE = 10_000
"""Ids that are read at once."""
_FIRST = UUID(int=0)


class ErasureBatches:
    """The batches of one call. What they have done stays done, and the next call skips it."""

    def __init__(self, turns: PostgresTurnStore, size: int, work_time: float, *, page_size: int = PAGE_SIZE) -> None:
        self._turns, self._size, self._page_size, self._time = turns, size, page_size, WorkTime(work_time)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Lend a connection in a transaction with long statements."""
        async with self._turns.connection() as connection, connection.transaction():
            await allow_long_statements(connection, ERASURE_TIMEOUT)
            yield connection

    async def apply_to_each(self, statement: str, select: str, *owner: object) -> None:
        """Execute a statement on every row whose id ``select`` returns; raises DependencyUnavailable if time is up."""
        async for ids in self.pages(select, *owner):
            await self.apply(statement, ids)

    async def blank_turns(self, conversation_id: UUID) -> None:
        """Blank the turns of a conversation page by page; raises DependencyUnavailable if time is up."""
        number = 0
        while rows := await self._fetch(sql.TURNS_OF_CONVERSATION, conversation_id, number, self._page_size):
            await self.apply(sql.BLANK_TURNS, [row["id"] for row in rows])
            number = rows[-1]["number"]  # a blanked turn is not found again, so the page may begin with its number

    async def apply(self, statement: str, ids: Sequence[UUID]) -> None:
        """Execute a statement on rows; raises DependencyUnavailable if time is up."""
        for batch in self.split(ids):
            async with self.transaction() as connection:
                await connection.execute(statement, batch, timeout=ERASURE_TIMEOUT)
            self._time.check()

    async def blank_events_of_each(self, select: str, owner: UUID) -> None:
        """Blank the events of every conversation or turn whose id ``select`` returns."""
        async for ids in self.pages(select, owner):
            await self.blank_events(ids)

    async def blank_events(self, keys: Sequence[UUID]) -> None:
        """Blank the events of conversations, or of turns without one."""
        for batch in self.split(keys):
            found = await self._fetch(sql.EVENTS_WITH_CONTENT, [str(key) for key in batch])
            await self.apply(sql.BLANK_EVENTS, [row["id"] for row in found])

    async def pages(self, select: str, *owner: object) -> AsyncIterator[list[UUID]]:
        """Return the ids that ``select`` returns, page by page."""
        last = _FIRST
        while ids := [row["id"] for row in await self._fetch(select, *owner, last, self._page_size)]:
            yield ids
            last = ids[-1]

    async def delete_keys(self, user_id: UUID) -> None:
        """Delete the idempotency keys of a user."""
        while (await self._fetch(sql.HAS_KEYS, user_id))[0][0]:
            async with self.transaction() as connection:
                await connection.execute(sql.DELETE_KEYS, user_id, self._size, timeout=ERASURE_TIMEOUT)
            self._time.check()

    async def _fetch(self, statement: str, *arguments: Any) -> list[Any]:
        async with self.transaction() as connection:
            rows: list[Any] = await connection.fetch(statement, *arguments, timeout=ERASURE_TIMEOUT)
            return rows

    def split(self, ids: Sequence[UUID]) -> list[list[UUID]]:
        return [list(ids[start : start + self._size]) for start in range(0, len(ids), self._size)]
