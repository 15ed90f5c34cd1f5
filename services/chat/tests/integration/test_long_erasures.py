"""Deletions and erasures of very many turns: long statements, batches, and interruptions."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import pytest

from chat.model import IdempotencyKey, Turn
from chat.storage.postgres_erasure import PostgresTurnErasureStore
from chat.storage.postgres_turns import PostgresTurnStore
from chat.turn_store import TurnRefused
from chat_testing.item_store_contract import ended, running
from chat_testing.replica import NewDatabase
from chat_testing.turns import conversation_of, make_new_turn, make_outcome
from parley import times
from parley.errors import DependencyUnavailable
from parley.ids import new_id
from parley.storage.postgres import Pool, open_pool
from parley_testing import eventually

pytestmark = pytest.mark.integration

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
COPY_TURN = """
INSERT INTO turns SELECT (jsonb_populate_record(t, jsonb_build_object('id', gen_random_uuid(), 'number', n))).*
FROM turns AS t, generate_series(2, $2) AS n WHERE t.id = $1"""
COPY_EVENT = """
INSERT INTO outbox OVERRIDING USER VALUE
SELECT (jsonb_populate_record(o, jsonb_build_object('id', gen_random_uuid(), 'sequence', o.sequence + 2 * n))).*
FROM outbox AS o, generate_series(1, $2) AS n WHERE o.partition_key = $1"""
COPY_KEY = """
INSERT INTO idempotency_keys SELECT user_id, route, 'key-' || n, body_hash, turn_id
FROM idempotency_keys AS k, generate_series(1, $2) AS n WHERE k.turn_id = $1"""
COPY_CONVERSATION = """
INSERT INTO conversations (id, user_id, system_prompt) SELECT gen_random_uuid(), user_id, 'Secret'
FROM conversations AS c, generate_series(1, $2) AS n WHERE c.id = $1"""
UNBLANKED = "SELECT count(*) FROM conversations WHERE deleted_at IS NOT NULL AND blanked_at IS NULL"
COUNT, BATCH = 45, 10


@dataclass
class LargeUser:
    """A user with many rows in each table, and what is left of them."""

    pool: Pool
    turns: PostgresTurnStore
    turn: Turn

    def erasure(self, *, work_time: float = 60) -> PostgresTurnErasureStore:
        return PostgresTurnErasureStore(self.turns, batch_size=BATCH, work_time=work_time)

    async def left(self) -> dict[str, int]:
        """Return the number of rows with content, by table."""
        user, secret = self.turn.user_id, "%Secret%"
        counts = {
            "turns": ("SELECT count(*) FROM turns AS t WHERE user_id = $1 AND t::text LIKE $2", user, secret),
            "outbox": ("SELECT count(*) FROM outbox WHERE data::text LIKE $1", secret),
            "conversations": ("SELECT count(*) FROM conversations WHERE user_id = $1 AND deleted_at IS NULL", user),
            "keys": ("SELECT count(*) FROM idempotency_keys WHERE user_id = $1", user),
            "budgets": ("SELECT count(*) FROM budgets WHERE user_id = $1", user),
        }
        return {table: await self.pool.fetchval(*query) for table, query in counts.items()}

    async def confirmations(self) -> int:
        query = "SELECT count(*) FROM outbox WHERE name = 'user.erasure_confirmed'"
        return int(await self.pool.fetchval(query))


@asynccontextmanager
async def large_user(dsn: str) -> AsyncIterator[LargeUser]:
    async with open_pool(dsn, size=2) as pool:
        turns = PostgresTurnStore(pool, lambda: None)
        new = make_new_turn(user_message="Secret")
        await turns.admit(new, new_id(), IdempotencyKey(new.user_id, "chat", "key", b"hash"))
        turn = await ended(turns, user_message="Secret", user_id=new.user_id)
        for statement, key in (
            (COPY_TURN, turn.id),
            (COPY_EVENT, str(turn.conversation_id)),
            (COPY_KEY, new.id),
            (COPY_CONVERSATION, turn.conversation_id),
        ):
            await pool.execute(statement, key, COUNT)
        yield LargeUser(pool, turns, turn)


async def _delete(store: PostgresTurnErasureStore, turn: Turn) -> None:
    await store.delete_conversation(conversation_of(turn), turn.user_id, times.now())
    await store.blank_conversation(conversation_of(turn))


async def _erase(store: PostgresTurnErasureStore, turn: Turn) -> None:
    await store.end_turns(turn.user_id)
    await store.erase(turn.user_id, "erasure")


@asynccontextmanager
async def locked(dsn: str, turn_id: UUID) -> AsyncIterator[Pool]:
    """Hold the lock of a turn, and lend a pool for other work."""
    async with open_pool(dsn, size=2) as pool, pool.acquire() as holder, holder.transaction():
        await holder.execute("SELECT id FROM turns WHERE id = $1 FOR UPDATE", turn_id)
        yield pool


async def is_waiting(pool: Pool) -> bool:
    return bool(await pool.fetchval(WAITING))


@pytest.mark.parametrize("remove", [_delete, _erase])
async def test_a_long_statement_of_a_deletion_is_not_given_up(
    new_database: NewDatabase, remove: Callable[[PostgresTurnErasureStore, Turn], Awaitable[None]]
) -> None:
    dsn = await new_database()
    async with open_pool(dsn, size=1) as pool:
        turns = PostgresTurnStore(pool, lambda: None)
        turn = await ended(turns, user_message="Secret")
        await pool.execute("SET statement_timeout = 200")
        async with locked(dsn, turn.id) as others:
            removing = asyncio.ensure_future(remove(PostgresTurnErasureStore(turns), turn))
            await eventually(lambda: is_waiting(others))
            await others.execute("SELECT pg_sleep(0.4)")
        await removing
        assert await pool.fetchval("SELECT user_message FROM turns WHERE id = $1", turn.id) == ""


async def test_an_erasure_commits_each_batch_and_confirms_when_nothing_is_left(new_database: NewDatabase) -> None:
    dsn = await new_database()
    async with large_user(dsn) as user:
        last = await user.pool.fetchval("SELECT max(id::text)::uuid FROM turns")
        async with locked(dsn, last) as others:
            ends = await user.erasure().end_turns(user.turn.user_id)
            assert len(ends) == 1
            erasing = asyncio.ensure_future(user.erasure().erase(user.turn.user_id, "erasure"))
            await eventually(lambda: is_waiting(others))
            meanwhile = await user.left()
            assert meanwhile["conversations"] == 0
            assert 0 < meanwhile["turns"] <= BATCH
            assert await user.confirmations() == 0
            with pytest.raises(TurnRefused):
                await user.turns.admit(make_new_turn(user_id=user.turn.user_id), new_id(), None)
        await erasing
        assert set((await user.left()).values()) == {0}
        assert await user.confirmations() == 1


async def test_an_erasure_without_time_goes_on_where_it_was(new_database: NewDatabase) -> None:
    async with large_user(await new_database()) as user:
        left = await user.left()
        rows = sum(left.values()) + left["conversations"]  # marked as deleted first, as blanked at the end
        assert rows > 4 * COUNT
        await user.erasure().end_turns(user.turn.user_id)
        attempts = 0
        while not await user.confirmations():
            attempts += 1
            assert attempts <= rows / BATCH + 5
            with contextlib.suppress(DependencyUnavailable):
                await user.erasure(work_time=0).erase(user.turn.user_id, "erasure")
        assert attempts > 4 * COUNT / BATCH
        assert set((await user.left()).values()) == {0}
        await user.erasure(work_time=0).erase(user.turn.user_id, "erasure")
        assert await user.confirmations() == 2, "a repeated event is confirmed again"


async def test_two_erasures_of_a_user_at_the_same_time_leave_nothing(new_database: NewDatabase) -> None:
    async with large_user(await new_database()) as user:
        await user.erasure().end_turns(user.turn.user_id)

        async def erase() -> dict[str, int]:
            await user.erasure().erase(user.turn.user_id, "erasure")
            return await user.left()

        left = await asyncio.gather(erase(), erase())
        assert {count for each in left for count in each.values()} == {0}


async def test_a_deleted_conversation_is_blanked_in_batches(new_database: NewDatabase) -> None:
    async with large_user(await new_database()) as user:
        conversation = conversation_of(user.turn)
        await user.erasure().delete_conversation(conversation, user.turn.user_id, times.now())
        attempts = 0
        while True:
            attempts += 1
            with contextlib.suppress(DependencyUnavailable):
                await user.erasure(work_time=0).blank_conversation(conversation)
                break
        assert attempts > 2 * COUNT / BATCH
        left = await user.left()
        assert (left["turns"], left["keys"]) == (1, COUNT + 1), "the turn of another conversation"


async def test_deleted_conversations_are_blanked_in_batches(new_database: NewDatabase) -> None:
    async with large_user(await new_database()) as user:
        for conversation in await user.pool.fetch("SELECT id FROM conversations"):
            await user.erasure().delete_conversation(conversation["id"], user.turn.user_id, times.now())
        attempts = 0
        while await user.pool.fetchval(UNBLANKED) > 1:
            attempts += 1
            assert attempts < 10 * COUNT / BATCH
            with contextlib.suppress(DependencyUnavailable):
                await user.erasure(work_time=0).blank_deleted_conversations()
        assert attempts > 2 * COUNT / BATCH
        left = await user.left()
        assert (left["turns"], left["conversations"]) == (1, 0), "a turn still runs"


async def test_a_turn_that_ends_after_the_deletion_of_its_conversation_is_blanked(new_database: NewDatabase) -> None:
    async with open_pool(await new_database(), size=2) as pool:
        turns = PostgresTurnStore(pool, lambda: None)
        erasure = PostgresTurnErasureStore(turns)
        turn = await running(turns, user_message="Secret")
        await _delete(erasure, turn)
        await erasure.blank_deleted_conversations()
        assert await pool.fetchval(UNBLANKED) == 1
        await turns.finish(turn, make_outcome("Secret", " answer"))
        for left in (1, 0):
            assert await pool.fetchval(UNBLANKED) == left
            await erasure.blank_deleted_conversations()
        texts = await pool.fetch("SELECT t::text FROM turns AS t UNION ALL SELECT data::text FROM outbox")
        assert [text for (text,) in texts if "Secret" in text] == []


async def test_an_erasure_leaves_no_conversation_to_blank(new_database: NewDatabase) -> None:
    async with large_user(await new_database()) as user:
        await _erase(user.erasure(), user.turn)
        assert await user.pool.fetchval(UNBLANKED) == 0
