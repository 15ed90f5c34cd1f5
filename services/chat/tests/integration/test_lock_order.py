"""Concurrent turns, deletions, erasures and maintenance: budgets stay exact, and no two statements deadlock."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from decimal import Decimal
from uuid import UUID

import asyncpg
import pytest

from chat.admission.budgets import BudgetUse
from chat.errors import TurnInProgress
from chat.item_store import ItemPlace
from chat.model import IdempotencyKey, Reservation
from chat.storage.postgres_budgets import PostgresBudgetStore
from chat.storage.postgres_erasure import PostgresTurnErasureStore
from chat.storage.postgres_items import PostgresItemStore
from chat.storage.postgres_maintenance import PostgresMaintenanceStore
from chat.storage.postgres_turns import PostgresTurnStore
from chat.turn_store import TurnRefused
from chat_testing.replica import NewDatabase
from chat_testing.turns import conversation_of, make_new_turn, make_outcome
from parley import times
from parley.ids import new_id
from parley.messaging.outbox.store import record
from parley.storage.postgres import open_pool
from parley_testing import eventually

pytestmark = pytest.mark.integration

TURNS, CONNECTIONS, COPIES = 200, 16, 2
PERIODS = ("2026-11-22", "2026-11")
RESERVATION = Reservation(PERIODS, 20, Decimal("0.02"), (None, None), (None, None))
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
    new = make_new_turn(user_id=user_id, reservation=RESERVATION)
    await store.admit(new, new_id(), None)
    turn = await store.get(new.id)
    assert turn is not None
    assert await store.move_reservation(turn, "fallback", RESERVATION)
    assert await store.finish(turn, make_outcome("done", cost=Decimal("0.01"))) is not None


@pytest.mark.chaos
async def test_two_hundred_turns_of_one_user_over_two_periods_never_deadlock(new_database: NewDatabase) -> None:
    user_id, slots = new_id(), asyncio.Semaphore(CONNECTIONS)
    async with stores_without_deadlocks(new_database) as store:
        await asyncio.gather(*(run_turn(store, user_id, slots) for _ in range(TURNS)))
        use = await PostgresBudgetStore(store).use(user_id, PERIODS)
    assert use == dict.fromkeys(PERIODS, BudgetUse(tokens=TURNS * 10, cost=TURNS * Decimal("0.01")))


async def keep_turns_coming(store: PostgresTurnStore, user_id: UUID) -> None:
    """Run conversations of failing and completed turns with idempotency keys until the user is erased.

    Each has copies of the two before it, of which others delete items meanwhile.
    """
    copied_from: dict[UUID, int] = {}
    while True:
        new = make_new_turn(user_id=user_id, reservation=RESERVATION, copied_from=dict(copied_from))
        try:
            await store.admit(new, new_id(), IdempotencyKey(user_id, "/chat", str(new.id), b"digest"))
        except TurnRefused:
            if await store.is_erased(user_id):
                return
            copied_from.clear()
            continue
        turn = await store.get(new.id)
        if turn is None:
            return
        await store.finish(turn, make_outcome("done") if turn.id.int % 2 else make_outcome(status="failed"))
        copied_from[conversation_of(turn)] = 0
        while len(copied_from) > COPIES:
            del copied_from[next(iter(copied_from))]


async def maintain(store: PostgresTurnStore, users: Collection[UUID], running: asyncio.Event) -> None:
    """Confirm, republish, delete, blank, purge and mark events as sent, as several processes do."""
    maintenance, erasure = PostgresMaintenanceStore(store), PostgresTurnErasureStore(store)
    items = PostgresItemStore(store)
    while not running.is_set():
        async with store.connection() as connection:
            rows = await connection.fetch("SELECT id, conversation_id, user_id FROM turns ORDER BY random() LIMIT 100")
            events = await connection.fetch("SELECT id FROM outbox ORDER BY random() LIMIT 200")
            await record(connection, [row["id"] for row in events], [row["id"] for row in events[:50]])
        turns = [row["id"] for row in rows]
        await maintenance.confirm(turns)
        await maintenance.republish(turns, older_than=0)
        await erasure.blank_deleted_conversations()
        for row in rows[5:20]:
            with contextlib.suppress(TurnInProgress):
                await items.delete(
                    row["user_id"], row["conversation_id"], ItemPlace(row["id"], "message", 0, in_input=True)
                )
        for row in rows[:5]:
            await erasure.delete_conversation(row["conversation_id"], row["user_id"], times.now())
            await erasure.blank_conversation(row["conversation_id"])
        await maintenance.purge(turns=3600, events=3600)
        await erasure.cancel_all(next(iter(users)))


async def test_turns_deletions_maintenance_and_erasures_never_deadlock(new_database: NewDatabase) -> None:
    users, stop = [new_id() for _ in range(4)], asyncio.Event()
    async with stores_without_deadlocks(new_database) as store, asyncio.TaskGroup() as group:
        for user_id in users * 2:
            group.create_task(keep_turns_coming(store, user_id))
        for _ in range(3):
            group.create_task(maintain(store, users, stop))
        await eventually(lambda: ended_turns(store, 100), within=30)
        for user_id in users:
            erasure = PostgresTurnErasureStore(store)
            while await erasure.end_turns(user_id):
                pass
            await erasure.erase(user_id, str(user_id))
        stop.set()


async def ended_turns(store: PostgresTurnStore, count: int) -> bool:
    async with store.connection() as connection:
        return bool(await connection.fetchval("SELECT count(*) >= $1 FROM turns WHERE status <> 'running'", count))
