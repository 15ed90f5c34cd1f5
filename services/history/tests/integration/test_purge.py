"""The purge of deleted conversations and of old feed and inbox rows."""

from collections.abc import Awaitable, Callable

import pytest

from history.database import Database
from history.retention.purge import CONVERSATION_BATCH_SIZE, Purger
from history_testing.app import NewDatabase, OpenHistory, RunningHistory
from history_testing.turn_events import SampleTurn
from parley.errors import DependencyUnavailable
from parley.storage.postgres import open_pool
from parley_testing import eventually

pytestmark = pytest.mark.integration

_DUE = """
WITH gone AS (
    INSERT INTO conversations (id, user_id, created_at, updated_at, deleted_at)
    SELECT gen_random_uuid(), gen_random_uuid(), now(), now(), now() FROM generate_series(1, $1) RETURNING id, user_id
)
INSERT INTO conversation_tombstones (conversation_id, user_id, deleted_at, purge_after)
SELECT id, user_id, now(), now() FROM gone"""
# As the time limit of statements does.
_AT_MOST_TEN = """
CREATE FUNCTION at_most_ten() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT count(*) FROM gone) > 10 THEN
        RAISE EXCEPTION 'canceling statement due to statement timeout' USING ERRCODE = 'query_canceled';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER at_most_ten AFTER DELETE ON conversations REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION at_most_ten()"""


async def test_a_deleted_conversation_is_purged_when_its_retention_is_over(
    open_history_on: OpenHistory, new_database: NewDatabase
) -> None:
    gone, kept = SampleTurn(question="secret one", metadata={"secret": "yes"}), SampleTurn(question="kept")
    async with open_history_on(await new_database(), purge_interval=0.1) as history:
        await history.publish(gone.ended(), kept.ended())
        for one in (gone, kept):
            await history.user(one.user_id).request("DELETE", f"/api/v1/conversations/{one.conversation_id}")
        await history.pool.execute(
            "UPDATE conversation_tombstones SET purge_after = now() WHERE conversation_id = $1", gone.conversation_id
        )

        async def left() -> list[str]:
            return [row["content"] for row in await history.pool.fetch("SELECT content FROM messages")]

        await eventually(lambda: _is(left, ["kept", "I am a model."]))
        for table in ("outbox", "feed", "turns"):
            rows = await history.pool.fetch(f"SELECT t::text AS row FROM {table} AS t")
            assert not [row for row in rows if "secret" in row["row"]], table
        await history.publish(gone.ended())
        await history.user(gone.user_id).get(f"/api/v1/conversations/{gone.conversation_id}", 404)
        assert len(await left()) == 2


async def _is(probe: Callable[[], Awaitable[list[str]]], wanted: list[str]) -> bool:
    return sorted(await probe()) == sorted(wanted)


async def test_conversations_that_take_too_long_together_are_purged_in_smaller_batches(
    new_database: NewDatabase,
) -> None:
    async with open_pool(await new_database(), size=2) as pool:
        await pool.execute(_DUE, CONVERSATION_BATCH_SIZE)
        await pool.execute(_AT_MOST_TEN)
        purger = Purger(Database(pool), feed_retention=3600)
        failures = 0
        while await pool.fetchval("SELECT EXISTS (SELECT FROM conversations)"):
            try:
                await purger.purge_batch()
            except DependencyUnavailable:
                failures += 1
                assert failures < 10
        assert not await pool.fetchval("SELECT count(*) FROM conversation_tombstones WHERE purged_at IS NULL")


async def test_old_feed_and_inbox_rows_are_removed(open_history_on: OpenHistory, new_database: NewDatabase) -> None:
    one = SampleTurn()
    async with open_history_on(await new_database(), purge_interval=0.1) as history:
        await history.publish(one.ended())
        await history.pool.execute("UPDATE feed SET stored_at = now() - interval '4 days' WHERE position = 1")
        await history.pool.execute("UPDATE inbox SET received_at = now() - interval '31 days'")
        await eventually(lambda: _empty(history, "inbox"))
        await eventually(lambda: _positions(history))


async def _empty(history: RunningHistory, table: str) -> bool:
    return not await history.pool.fetch(f"SELECT 1 FROM {table}")


async def _positions(history: RunningHistory) -> bool:
    return [row["position"] for row in await history.pool.fetch("SELECT position FROM feed")] == [2]
