"""Deletion of a message with many answers: each has the input, and they are not all read at once."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from chat.input_items import message_with_files
from chat.item_store import ItemPlace
from chat.storage.postgres_items import BATCH, PostgresItemStore
from chat.storage.postgres_turns import PostgresTurnStore
from chat_testing.item_store_contract import ended
from chat_testing.replica import NewDatabase
from chat_testing.turns import conversation_of
from parley.ids import new_id
from parley.storage.postgres import open_pool

pytestmark = pytest.mark.integration

ANSWERS = 2 * BATCH + 3


class CountedConnection:
    """A connection that records how many whole turns one statement has returned at most."""

    def __init__(self, connection: Any) -> None:
        self._connection, self.largest = connection, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def fetch(self, statement: str, *arguments: Any) -> Any:
        """Return rows."""
        rows = await self._connection.fetch(statement, *arguments)
        self.largest = max(self.largest, sum("response" in row for row in map(dict, rows)))
        return rows


class CountingStore(PostgresTurnStore):
    """A turn store that lends counted connections."""

    largest = 0

    @contextlib.asynccontextmanager
    async def connection(self, *, queued: bool = False) -> AsyncIterator[Any]:
        """Lend a connection."""
        async with super().connection(queued=queued) as connection:
            counted = CountedConnection(connection)
            yield counted
            self.largest = max(self.largest, counted.largest)


async def test_all_answers_to_a_message_lose_it_a_few_at_a_time(new_database: NewDatabase) -> None:
    async with open_pool(await new_database(), size=2) as pool:
        turns = CountingStore(pool, lambda: None)
        given = message_with_files("Secret", [new_id()])
        first = await ended(turns, user_message="Secret", response={"input": [given]})
        shared = {
            "user_id": first.user_id,
            "conversation_id": first.conversation_id,
            "user_message_id": first.user_message_id,
            "user_message": "Secret",
            "response": {"input": [given]},
        }
        for _ in range(ANSWERS - 1):
            await ended(turns, regenerate=first.id, **shared)
        item = ItemPlace(first.id, "message", 0, in_input=True)
        assert await PostgresItemStore(turns).delete(first.user_id, conversation_of(first), item)
        assert 0 < turns.largest <= BATCH
        for table in ("turns", "outbox"):
            assert not await pool.fetchval(f"SELECT count(*) FROM {table} AS t WHERE t::text LIKE '%Secret%'")
        redacted = await pool.fetch("SELECT data FROM outbox WHERE name LIKE '%redacted'")
        assert len({row["data"]["turn_id"] for row in redacted}) == ANSWERS
