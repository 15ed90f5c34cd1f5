"""Idempotency store in Postgres."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from parley.ids import new_id
from parley_events import TurnEnded
from parley_events.stores import FORGET_BATCH
from parley_events.stores.postgres import _FORGET, _TABLES, PostgresStore
from parley_events.testing import sample
from parley_testing.backends.shared_servers import SharedBackends
from parley_testing.telemetry.query_plans import PLAN_MODES, explain
from parley_testing.waiting import eventually

pytestmark = pytest.mark.integration

_HANDLED = """
INSERT INTO parley_handled_events SELECT gen_random_uuid(), now() - $2::interval FROM generate_series(1, $1)"""
_STATEMENTS = """
CREATE TABLE statements (size integer);
CREATE FUNCTION note_size() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO statements SELECT count(*) FROM gone;
    RETURN NULL;
END $$;
CREATE TRIGGER note_size AFTER DELETE ON parley_handled_events REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION note_size()"""


@pytest.fixture
async def pool(backends: SharedBackends) -> AsyncIterator[asyncpg.Pool]:
    schema = f"events_{new_id().hex}"
    async with asyncpg.create_pool(
        await backends.database_url(), min_size=1, max_size=3, server_settings={"search_path": schema}
    ) as pool:
        await pool.execute(f"CREATE SCHEMA {schema}")
        yield pool
        await pool.execute(f"DROP SCHEMA {schema} CASCADE")


async def test_two_replicas_may_create_the_tables_at_the_same_time(pool: asyncpg.Pool) -> None:
    store = PostgresStore(pool)
    async with pool.acquire() as first, first.transaction():
        await first.execute(_TABLES)
        second = asyncio.create_task(store.prepare())
        query = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid)))"
        pid = first.get_server_pid()
        # Not on the first's connection: a transaction sees pg_stat_activity as it was at the first look.
        await eventually(lambda: pool.fetchval(query, pid), message="the second does not wait for the first")
    await second
    assert await store.last_sequence("source", "key") is None


async def test_an_event_is_handled_once_in_the_transaction_of_the_handler(pool: asyncpg.Pool) -> None:
    store, event = PostgresStore(pool), sample(TurnEnded)
    await store.prepare()
    await store.prepare()
    await pool.execute("CREATE TABLE turns (id uuid)")

    async def handle(*, fail: bool) -> bool:
        async with store.once(event) as connection:
            if connection is not None:
                await connection.execute("INSERT INTO turns VALUES ($1)", event.id)
            if fail:
                raise RuntimeError
            return connection is not None

    with pytest.raises(RuntimeError):
        await handle(fail=True)
    assert [await handle(fail=False), await handle(fail=False)] == [True, False]
    assert await pool.fetchval("SELECT count(*) FROM turns") == 1
    await store.save_sequence("/services/chat", "k", 7)
    await store.save_sequence("/services/chat", "k", 3)
    await store.save_offset("sub.q", 42)
    assert (await store.last_sequence("/services/chat", "k"), await store.load_offset("sub.q")) == (7, 42)
    await store.forget()


async def test_any_number_of_old_events_is_forgotten_in_short_statements(pool: asyncpg.Pool) -> None:
    store = PostgresStore(pool)
    await store.prepare()
    await pool.execute(_HANDLED, 2 * FORGET_BATCH + 1, timedelta(days=15))
    await pool.execute(_HANDLED, 1, timedelta(days=13))
    await pool.execute(_STATEMENTS)
    await store.forget()
    assert await pool.fetchval("SELECT count(*) FROM parley_handled_events") == 1
    assert await pool.fetchval("SELECT max(size) FROM statements") == FORGET_BATCH


async def test_forgetting_reads_a_page_of_events_and_not_the_whole_table(pool: asyncpg.Pool) -> None:
    await PostgresStore(pool).prepare()
    await pool.execute(_HANDLED, 3000, timedelta(days=13))
    await pool.execute("ANALYZE parley_handled_events")
    async with pool.acquire() as connection:
        for mode in PLAN_MODES:
            plan = await explain(connection, _FORGET, [UUID(int=0), 100, "14 days"], mode)
            assert plan.work <= 110, plan.summary
