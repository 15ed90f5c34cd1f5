"""Erasures of users with very many deliveries, and deletions of such webhooks: batches and interruptions."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from uuid import UUID

import pytest

from parley.errors import DependencyUnavailable
from parley.ids import new_id
from parley.process.tasks import background
from parley.storage.postgres import Pool, open_pool
from parley.times import now
from parley_events.models import UserErased
from parley_testing import eventually
from webhooks.database import Database
from webhooks.deliveries.postgres import PostgresDeliveryLog
from webhooks.endpoints.model import MAX_OWN_WEBHOOKS, TooManyWebhooksError
from webhooks.endpoints.postgres import PostgresWebhookStore
from webhooks.erasure.postgres import PostgresUserWebhooks
from webhooks.retention.purge import EventPurger
from webhooks.sending.postgres import AttemptOutcome, ClaimedDelivery, PostgresDeliveryQueue
from webhooks_testing.app import NewDatabase
from webhooks_testing.stored_deliveries import new_event, store_deliveries, store_webhook

pytestmark = pytest.mark.integration

COUNT, BATCH = 45, 10
DELIVERED = AttemptOutcome("delivered", None, 204, 1, None)
FAILED = AttemptOutcome("failed", 0.0, 500, 1, "status")
KEYS = """
INSERT INTO idempotency_keys (user_id, route, key, fingerprint, response)
SELECT $1, '/', 'k' || n, 'x', 'x' FROM generate_series(1, $2) AS n"""
REDACTIONS = """
INSERT INTO redactions (turn_id, partition_key, user_id, revision, untitled, kept)
SELECT gen_random_uuid(), 'k', $1, 1, false, '{}' FROM generate_series(1, $2)"""
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
TABLES = ("webhooks", "deliveries", "events", "redactions", "idempotency_keys")


@dataclass
class LargeUser:
    """A user with two webhooks and many events, which a webhook of an administrator gets, too."""

    pool: Pool
    id: UUID
    shared: UUID
    """The webhook of the administrator, which has one event of another user."""

    @property
    def queue(self) -> PostgresDeliveryQueue:
        return PostgresDeliveryQueue(Database(self.pool), max_in_flight=5, disable_after=60)

    async def erase(self, *, work_time: float = 60) -> None:
        users = PostgresUserWebhooks(Database(self.pool), rows=BATCH, events=BATCH, work_time=work_time)
        await users.erase(UserErased(user_id=self.id, erasure_id="erasure", at=now()))

    async def left(self) -> dict[str, int]:
        """Return the number of rows, by table, without those of others."""
        others = {"webhooks": 1, "deliveries": 1, "events": 1}
        return {
            table: await self.pool.fetchval(f"SELECT count(*) FROM {table}") - others.get(table, 0) for table in TABLES
        }

    async def confirmations(self) -> int:
        query = "SELECT count(*) FROM outbox WHERE name = 'user.erasure_confirmed'"
        return int(await self.pool.fetchval(query))


@asynccontextmanager
async def large_user(dsn: str) -> AsyncIterator[LargeUser]:
    async with open_pool(dsn, size=6) as pool:
        user_id = new_id()
        shared = await store_webhook(pool, scope="all")
        for number in (COUNT, COUNT - BATCH):
            webhook = await store_webhook(pool, user_id)
            await store_deliveries(pool, webhook, number, user_id=user_id, also=shared)
        await store_deliveries(pool, shared, 1, user_id=new_id())
        for statement in (REDACTIONS, KEYS):
            await pool.execute(statement, user_id, COUNT)
        yield LargeUser(pool, user_id, shared)


async def test_an_erasure_without_time_goes_on_where_it_was(new_database: NewDatabase) -> None:
    async with large_user(await new_database()) as user:
        left = await user.left()
        rows = sum(left.values())
        assert min(left["deliveries"], left["events"], left["redactions"]) >= COUNT
        attempts = 0
        while not await user.confirmations():
            attempts += 1
            assert attempts <= rows / BATCH + len(TABLES)
            with contextlib.suppress(DependencyUnavailable):
                await user.erase(work_time=0)
        assert attempts > 5 * COUNT / BATCH
        assert set((await user.left()).values()) == {0}
        await user.erase(work_time=0)
        assert await user.confirmations() == 2, "a repeated event is confirmed again"


async def test_an_erasure_commits_each_batch_and_confirms_when_nothing_is_left(new_database: NewDatabase) -> None:
    async with large_user(await new_database()) as user:
        async with user.pool.acquire() as holder, holder.transaction():
            last = await holder.fetchval("SELECT id FROM events WHERE user_id = $1 ORDER BY ctid DESC", user.id)
            await holder.execute("SELECT FROM events WHERE id = $1 FOR UPDATE", last)
            erasing = asyncio.create_task(user.erase())
            await eventually(lambda: _is_waiting(user.pool))
            meanwhile = await user.left()
            assert meanwhile["webhooks"] == 0
            assert 0 < meanwhile["events"] <= BATCH
            assert await user.confirmations() == 0
        await erasing
        assert set((await user.left()).values()) == {0}
        assert await user.confirmations() == 1


async def _is_waiting(pool: Pool) -> bool:
    return bool(await pool.fetchval(WAITING))


async def test_nothing_of_a_user_is_sent_while_an_erasure_goes_on(new_database: NewDatabase) -> None:
    async with large_user(await new_database()) as user:
        with pytest.raises(DependencyUnavailable):
            await user.erase(work_time=0)
        assert (await user.left())["deliveries"] > COUNT
        claimed, queue = list[ClaimedDelivery](), user.queue
        while await user.pool.fetchval(
            "SELECT count(*) FROM deliveries WHERE webhook_id = $1 AND status = 'pending'", user.shared
        ):
            found = await queue.claim(50, 1_000_000, only_healthy=False)
            claimed += found
            for each in found:
                await queue.finish(each, DELIVERED)
        (one,) = claimed
        owner = await user.pool.fetchval("SELECT user_id FROM events WHERE id = $1", one.event_id)
        assert (one.webhook_id, owner == user.id) == (user.shared, False)


@pytest.mark.parametrize("name", ["user.erased", "user.erasure_confirmed"])
async def test_an_event_that_tells_of_the_erasure_is_sent(new_database: NewDatabase, name: str) -> None:
    async with large_user(await new_database()) as user:
        told = new_event(user.id, name)
        assert await PostgresDeliveryLog(Database(user.pool)).add(user.shared, told)
        await user.erase()
        claimed = await user.queue.claim(50, 1_000_000, only_healthy=False)
        assert told.id in [each.event_id for each in claimed]


async def test_requests_find_no_webhook_while_an_erasure_goes_on(new_database: NewDatabase) -> None:
    async with large_user(await new_database()) as user:
        store, log = PostgresWebhookStore(Database(user.pool)), PostgresDeliveryLog(Database(user.pool))
        found = await store.list(user.id, shared=False, before=None, limit=10)
        assert len(found) == 2
        with pytest.raises(DependencyUnavailable):
            await user.erase(work_time=0)
        assert (await user.left())["webhooks"] == 2
        assert await store.list(user.id, shared=True, before=None, limit=10) == [
            await store.find(new_id(), user.shared, shared=True)
        ]
        for webhook in found:
            assert await store.find(user.id, webhook.id, shared=False) is None
            assert not await store.patch(user.id, webhook.id, {"status": "active"}, shared=False)
            assert await log.add(webhook.id, new_event(user.id)) is None


async def test_two_erasures_of_a_user_at_the_same_time_leave_nothing(new_database: NewDatabase) -> None:
    async with large_user(await new_database()) as user:

        async def erase() -> set[int]:
            await user.erase()
            return set((await user.left()).values())

        assert list(await asyncio.gather(erase(), erase())) == [{0}, {0}]


async def test_senders_and_a_purge_never_conflict_with_an_erasure(new_database: NewDatabase) -> None:
    async with large_user(await new_database()) as user:
        done = asyncio.Event()

        async def send(outcome: AttemptOutcome) -> None:
            queue = user.queue
            while not done.is_set():
                for each in await queue.claim(5, 1_000_000, only_healthy=False):
                    await queue.finish(each, outcome)

        senders = [asyncio.create_task(send(outcome)) for outcome in (DELIVERED, FAILED)]
        await user.pool.execute(
            "UPDATE events SET received_at = now() - interval '31 days' WHERE user_id = $1", user.id
        )
        deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        async with background("purge", EventPurger(Database(user.pool), retention_days=30).run, service="webhooks"):
            await user.erase()
        done.set()
        await asyncio.gather(*senders)
        assert set((await user.left()).values()) == {0}
        assert await user.pool.fetchval(deadlocks) == 0


async def test_a_webhook_is_deleted_at_once_and_its_deliveries_afterwards(new_database: NewDatabase) -> None:
    async with open_pool(await new_database(), size=4) as pool:
        owner = new_id()
        webhook, kept = [await store_webhook(pool, owner) for _ in range(2)]
        for each in (webhook, kept):
            await store_deliveries(pool, each, COUNT)
        store = PostgresWebhookStore(Database(pool))
        async with pool.acquire() as sender, sender.transaction():
            await sender.execute("SELECT FROM deliveries WHERE webhook_id = $1 LIMIT 1 FOR UPDATE", webhook)
            assert await store.delete(owner, webhook, shared=False), "waits for no delivery"
        assert not await store.delete(owner, webhook, shared=False)
        assert [each.id for each in await store.list(owner, shared=False, before=None, limit=10)] == [kept]
        queue = PostgresDeliveryQueue(Database(pool), max_in_flight=COUNT, disable_after=60)
        claimed = await queue.claim(2 * COUNT, 1_000_000, only_healthy=False)
        assert {each.webhook_id for each in claimed} == {kept}
        purger = EventPurger(Database(pool), retention_days=30, batch_size=BATCH)
        async with background("purge", purger.run, service="webhooks"):
            await eventually(lambda: _webhooks_are(pool, {kept}))
        assert await pool.fetchval("SELECT count(*) FROM deliveries") == COUNT


async def _webhooks_are(pool: Pool, expected: set[UUID]) -> bool:
    return {row["id"] for row in await pool.fetch("SELECT id FROM webhooks")} == expected


async def test_a_deleted_webhook_takes_no_room_of_the_next_one_and_is_erased_with_its_user(
    new_database: NewDatabase,
) -> None:
    async with large_user(await new_database()) as user:
        store = PostgresWebhookStore(Database(user.pool))
        first, other = await store.list(user.id, shared=False, before=None, limit=10)
        await store.delete(user.id, first.id, shared=False)
        async with user.pool.acquire() as connection, connection.transaction():
            for _ in range(MAX_OWN_WEBHOOKS - 1):
                assert await store.add(connection, replace(other, id=new_id()), b"secret")
            with pytest.raises(TooManyWebhooksError):
                await store.add(connection, replace(other, id=new_id()), b"secret")
        await user.erase()
        assert set((await user.left()).values()) == {0}
