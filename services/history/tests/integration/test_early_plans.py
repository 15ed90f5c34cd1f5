"""Plans of the SQL functions of the projection: Postgres keeps those that it made while the tables were small."""

import pytest

from history.database import Database
from history.projection.postgres import PostgresProjectionStore
from history.projection.turn_event import TurnEvent, read_turn_event
from history_testing.app import NewDatabase
from history_testing.turn_events import SampleTurn
from parley.process.worker_thread import worker_thread
from parley.storage.postgres import Pool, open_pool

pytestmark = pytest.mark.integration

FIRST, LATER, BATCH = 10, 2_000, 200
MOST_ROWS = 40
"""Rows that the two events of a turn read. Without indexes, they read all rows, of some tables several times."""
_READ = "SELECT sum(seq_tup_read) + sum(coalesce(idx_tup_fetch, 0)) FROM pg_stat_user_tables"


async def test_a_connection_that_stored_the_first_turns_reads_little_when_there_are_many(
    new_database: NewDatabase,
) -> None:
    url = await new_database()
    with worker_thread("terms") as worker:
        async with open_pool(url, size=1) as early, open_pool(url, size=1) as other:
            store = PostgresProjectionStore(Database(early), worker)
            for _ in range(FIRST):
                await store.project_turns(_turn(), wait=True)
            for _ in range(LATER // BATCH):
                turns = [event for _ in range(BATCH) for event in _turn()]
                await PostgresProjectionStore(Database(other), worker).project_turns(turns, wait=True)
            before = await _rows_read(early, other)
            await store.project_turns(_turn(), wait=True)
            assert await _rows_read(early, other) - before <= MOST_ROWS


def _turn() -> list[TurnEvent]:
    sample = SampleTurn()
    events = [read_turn_event(sample.started()), read_turn_event(sample.ended())]
    return [event for event in events if isinstance(event, TurnEvent)]


async def _rows_read(early: Pool, other: Pool) -> int:
    """Return the rows that have been read in all tables, after both connections have reported theirs."""
    for pool in (early, other):
        await pool.execute("SELECT pg_stat_force_next_flush()")
    read: int = await other.fetchval(_READ)
    return read
