"""Concurrent turns of one user: budgets stay exact, and no two statements deadlock."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from uuid import UUID

import asyncpg
import pytest

from chat.model import Reservation
from chat.storage.postgres_budgets import PostgresBudgetStore
from chat.storage.postgres_turns import PostgresTurnStore
from chat_testing.replica import NewDatabase
from chat_testing.turns import make_new_turn, make_outcome
from parley.ids import new_id
from parley.storage.postgres import open_pool

pytestmark = pytest.mark.integration

TURNS, CONNECTIONS = 200, 16
PERIODS = ("2026-11-22", "2026-11")
# With many rows, the planner reads budgets by their index, which is not the order in which they are inserted.
OTHER_BUDGETS = """
INSERT INTO budgets (user_id, period)
SELECT gen_random_uuid(), period FROM generate_series(1, 2000), unnest($1::text[]) AS period"""


@asynccontextmanager
async def stores_without_deadlocks(new_database: NewDatabase) -> AsyncIterator[PostgresTurnStore]:
    dsn = await new_database()
    async with open_pool(dsn, size=CONNECTIONS) as pool:
        await pool.execute(OTHER_BUDGETS, list(PERIODS))
        await pool.execute("ANALYZE budgets")
        yield PostgresTurnStore(pool, lambda: None)
    # The sessions of the pool have ended, so their statistics are complete.
    connection = await asyncpg.connect(dsn)
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    assert await connection.fetchval(deadlocks) == 0
    await connection.close()


async def run_turn(store: PostgresTurnStore, user_id: UUID, slots: asyncio.Semaphore) -> None:
    async with slots:
        await run_to_its_end(store, user_id)


async def run_to_its_end(store: PostgresTurnStore, user_id: UUID) -> None:
    reservation = Reservation(PERIODS, 20, Decimal("0.02"), (None, None), (None, None))
    new = make_new_turn(user_id=user_id, reservation=reservation)
    await store.admit(new, new_id(), None)
    turn = await store.get(new.id)
    assert turn is not None
    assert await store.finish(turn, make_outcome("done", cost=Decimal("0.01"))) is not None


async def test_two_hundred_turns_of_one_user_over_two_periods_never_deadlock(new_database: NewDatabase) -> None:
    user_id, slots = new_id(), asyncio.Semaphore(CONNECTIONS)
    async with stores_without_deadlocks(new_database) as store:
        await asyncio.gather(*(run_turn(store, user_id, slots) for _ in range(TURNS)))
        spent = await PostgresBudgetStore(store).spent(user_id, PERIODS)
    assert spent == {period: (TURNS * 10, TURNS * Decimal("0.01")) for period in PERIODS}
