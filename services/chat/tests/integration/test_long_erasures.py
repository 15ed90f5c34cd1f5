"""Deletions and erasures whose statements take longer than those of requests may."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from chat.model import Turn
from chat.storage.postgres_erasure import PostgresTurnErasureStore
from chat.storage.postgres_turns import PostgresTurnStore
from chat_testing.item_store_contract import ended
from chat_testing.replica import NewDatabase
from chat_testing.turns import conversation_of
from parley import times
from parley.storage.postgres import open_pool
from parley_testing import eventually

pytestmark = pytest.mark.integration

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


async def _delete(store: PostgresTurnErasureStore, turn: Turn) -> None:
    await store.delete_conversation(conversation_of(turn), turn.user_id, times.now())


async def _erase(store: PostgresTurnErasureStore, turn: Turn) -> None:
    await store.erase(turn.user_id, "erasure")


@pytest.mark.parametrize("remove", [_delete, _erase])
async def test_a_long_statement_of_a_deletion_is_not_given_up(
    new_database: NewDatabase, remove: Callable[[PostgresTurnErasureStore, Turn], Awaitable[None]]
) -> None:
    dsn = await new_database()
    async with open_pool(dsn, size=1) as pool, open_pool(dsn, size=2) as others, others.acquire() as other:
        turns = PostgresTurnStore(pool, lambda: None)
        turn = await ended(turns, user_message="Secret")
        await pool.execute("SET statement_timeout = 200")
        async with other.transaction():
            await other.execute("SELECT id FROM turns WHERE id = $1 FOR UPDATE", turn.id)
            removing = asyncio.ensure_future(remove(PostgresTurnErasureStore(turns), turn))

            async def is_waiting() -> bool:
                return bool(await others.fetchval(WAITING))

            await eventually(is_waiting)
            await other.execute("SELECT pg_sleep(0.4)")
        await removing
        assert await others.fetchval("SELECT user_message FROM turns WHERE id = $1", turn.id) == ""
