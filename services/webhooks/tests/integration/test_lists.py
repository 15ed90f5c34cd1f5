"""Lists of webhooks and of deliveries: what they contain, and what one page reads of many rows."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from parley.ids import new_id
from parley.storage.postgres import Pool
from parley_testing.telemetry.query_plans import PLAN_MODES, PlanMode, explain
from webhooks.database import Database
from webhooks.deliveries.model import DELIVERY_STATUSES, DeliveryFilter, DeliveryStatus
from webhooks.deliveries.postgres import LIST, LIST_OF_EVENT, PostgresDeliveryLog
from webhooks.endpoints.postgres import LIST as LIST_WEBHOOKS
from webhooks.endpoints.postgres import PostgresWebhookStore
from webhooks_testing.stored_deliveries import store_deliveries, store_webhook

pytestmark = pytest.mark.integration

STORED, PAGE = 2000, 20
MAX_WORK = PAGE * (len(DELIVERY_STATUSES) + 1)
"""Rows that one page of deliveries may read: a page of each status, and the events of one."""


async def test_deliveries_of_all_statuses_are_listed_page_by_page_the_newest_first(pool: Pool) -> None:
    webhook = await store_webhook(pool)
    for status in DELIVERY_STATUSES:
        await store_deliveries(pool, webhook, 5, status)
    await store_deliveries(pool, await store_webhook(pool), 5)
    log, found, before = PostgresDeliveryLog(Database(pool)), list[UUID](), None
    while page := await log.list(webhook, DeliveryFilter(), before=before, limit=3):
        found += [each.id for each in page]
        before = found[-1]
    rows = await pool.fetch("SELECT id FROM deliveries WHERE webhook_id = $1 ORDER BY id DESC", webhook)
    assert found == [row["id"] for row in rows]


async def test_a_list_has_the_deliveries_of_the_chosen_status_and_event(pool: Pool) -> None:
    webhook = await store_webhook(pool)
    for status in DELIVERY_STATUSES:
        await store_deliveries(pool, webhook, 5, status)
    log = PostgresDeliveryLog(Database(pool))

    async def listed(status: DeliveryStatus | None, event_id: UUID | None, before: UUID | None = None) -> list[UUID]:
        page = await log.list(webhook, DeliveryFilter(status, event_id), before=before, limit=10)
        return [each.id for each in page]

    failed = await log.list(webhook, DeliveryFilter("failed"), before=None, limit=10)
    assert [each.status for each in failed] == ["failed"] * 5
    one = failed[2]
    assert await listed("failed", None, one.id) == [each.id for each in failed[3:]]
    assert await listed(None, one.event_id) == await listed("failed", one.event_id) == [one.id]
    assert await listed("dead", one.event_id) == await listed(None, one.event_id, one.id) == []


async def _assert_work(pool: Pool, statement: str, arguments: Sequence[Any], mode: PlanMode, maximum: int) -> None:
    async with pool.acquire() as connection:
        plan = await explain(connection, statement, arguments, mode)
    assert plan.work <= maximum, plan.summary


@pytest.mark.parametrize("mode", PLAN_MODES)
async def test_a_page_of_deliveries_reads_no_others(pool: Pool, mode: PlanMode) -> None:
    webhook = await store_webhook(pool)
    await store_deliveries(pool, webhook, STORED, "delivered")
    half = await pool.fetchrow("SELECT id, event_id FROM deliveries ORDER BY id OFFSET $1 LIMIT 1", STORED // 2)
    for statuses in (DELIVERY_STATUSES, ["dead"], ["pending"], ["delivered"]):
        for before in (None, half["id"]):
            await _assert_work(pool, LIST, [webhook, statuses, before, PAGE], mode, MAX_WORK)
    await _assert_work(pool, LIST_OF_EVENT, [webhook, DELIVERY_STATUSES, None, half["event_id"]], mode, 2)


async def test_an_administrator_lists_own_webhooks_among_those_for_all(pool: Pool) -> None:
    admin, other = new_id(), new_id()
    stored = [
        await store_webhook(pool, user_id, scope=scope)
        for user_id, scope in [(admin, "own"), (other, "all"), (other, "own"), (admin, "own"), (admin, "all")]
    ]
    store = PostgresWebhookStore(Database(pool))

    async def listed(user_id: UUID, *, shared: bool, before: UUID | None = None, limit: int = 10) -> list[int]:
        page = await store.list(user_id, shared=shared, before=before, limit=limit)
        return [stored.index(each.id) for each in page]

    assert await listed(admin, shared=True) == [4, 3, 1, 0]
    assert await listed(admin, shared=True, limit=2) == [4, 3]
    assert await listed(admin, shared=True, before=stored[3], limit=2) == [1, 0]
    assert await listed(admin, shared=False) == [3, 0]
    assert await listed(other, shared=False) == [2]


@pytest.mark.parametrize("mode", PLAN_MODES)
async def test_a_page_of_webhooks_reads_none_of_other_users(pool: Pool, mode: PlanMode) -> None:
    user_id = new_id()
    for owner in [user_id, *(new_id() for _ in range(STORED // 10))]:
        await store_webhook(pool, owner)
    await pool.execute("ANALYZE")
    for shared in (False, True):
        await _assert_work(pool, LIST_WEBHOOKS, [user_id, shared, None, PAGE], mode, PAGE)
