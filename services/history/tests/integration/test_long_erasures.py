"""Erasures of users with very many conversations: batches and interruptions."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

import pytest

from history.database import Database
from history.erasure.postgres import PostgresUserDataEraser
from history_testing.app import NewDatabase, OpenHistory, RunningHistory
from history_testing.turn_events import SampleTurn, user_erased
from parley.errors import DependencyUnavailable
from parley.ids import new_id
from parley_events.models import UserErased

pytestmark = pytest.mark.integration

COUNT, BATCH = 45, 10
# Half of the conversations are deleted, and not purged yet.
CONVERSATIONS = """
WITH made AS (
    INSERT INTO conversations (id, user_id, created_at, updated_at, deleted_at)
    SELECT gen_random_uuid(), $1, now(), now(), CASE WHEN n % 2 = 0 THEN now() END
    FROM generate_series(1, $2) AS n RETURNING id, deleted_at
)
INSERT INTO conversation_tombstones (conversation_id, user_id, deleted_at, purge_after)
SELECT id, $1, deleted_at, now() + interval '1 day' FROM made WHERE deleted_at IS NOT NULL"""
FEED = """
INSERT INTO feed SELECT (jsonb_populate_record(f, jsonb_build_object('position', f.position + 1000 * n))).*
FROM feed AS f, generate_series(1, $2) AS n WHERE f.user_id = $1"""
TURNS = """
INSERT INTO turns SELECT (jsonb_populate_record(t, jsonb_build_object('id', gen_random_uuid()))).*
FROM turns AS t, generate_series(1, $2) AS n WHERE t.user_id = $1"""
TABLES = ("conversations", "messages", "message_search", "search_segments", "turns", "feed", "feed_heads")


@dataclass
class LargeUser:
    """A user with many rows, and what is left of them."""

    history: RunningHistory
    user_id: UUID

    def __post_init__(self) -> None:
        self.event = user_erased(self.user_id)
        self.data = UserErased.model_validate_json(self.event.data)

    async def erase(self, *, work_time: float = 60) -> None:
        eraser = PostgresUserDataEraser(
            Database(self.history.pool), conversations=BATCH, rows=BATCH, work_time=work_time
        )
        await eraser.erase(self.event, self.data)

    async def left(self) -> dict[str, int]:
        """Return the number of rows, by table. Only this user has any."""
        return {table: await self.history.pool.fetchval(f"SELECT count(*) FROM {table}") for table in TABLES}

    async def confirmations(self) -> int:
        return len(await self.history.outbox_events("user.erasure_confirmed"))


@contextlib.asynccontextmanager
async def large_user(history: RunningHistory) -> AsyncIterator[LargeUser]:
    turn = SampleTurn(question="secret")
    await history.publish(turn.ended())
    for statement in (CONVERSATIONS, FEED, TURNS):
        await history.pool.execute(statement, turn.user_id, COUNT)
    yield LargeUser(history, turn.user_id)


async def test_an_erasure_without_time_goes_on_where_it_was(
    open_history_on: OpenHistory, new_database: NewDatabase
) -> None:
    async with open_history_on(await new_database()) as history, large_user(history) as user:
        rows = sum((await user.left()).values())
        assert rows > 3 * COUNT
        attempts = 0
        while not await user.confirmations():
            attempts += 1
            assert attempts <= rows / BATCH + len(TABLES)
            with contextlib.suppress(DependencyUnavailable):
                await user.erase(work_time=0)
        assert attempts > 3 * COUNT / BATCH
        assert set((await user.left()).values()) == {0}
        unpurged = "SELECT count(*) FROM conversation_tombstones WHERE purged_at IS NULL"
        assert await history.pool.fetchval(unpurged) == 0
        assert await history.pool.fetchval("SELECT count(*) FROM conversation_tombstones") == COUNT + 1


async def test_nothing_is_stored_while_an_erasure_goes_on(
    open_history_on: OpenHistory, new_database: NewDatabase
) -> None:
    async with open_history_on(await new_database()) as history, large_user(history) as user:
        with pytest.raises(DependencyUnavailable):
            await user.erase(work_time=0)
        before = await user.left()
        await history.publish(SampleTurn(user.user_id).ended())
        path = f"/internal/conversations/{new_id()}"
        created = await history.internal_client().request("PUT", path, json={"user_id": str(user.user_id)})
        assert created.status_code == 404
        assert await user.left() == before
        assert await user.confirmations() == 0
        await user.erase()
        assert await user.confirmations() == 1


async def test_two_erasures_of_a_user_at_the_same_time_leave_nothing(
    open_history_on: OpenHistory, new_database: NewDatabase
) -> None:
    async with open_history_on(await new_database()) as history, large_user(history) as user:

        async def erase() -> set[int]:
            await user.erase()
            return set((await user.left()).values())

        assert list(await asyncio.gather(erase(), erase())) == [{0}, {0}]
