"""Claims of ordered webhooks: each key in its turn, however many deliveries wait behind a failed one."""

from collections import Counter
from uuid import UUID

import pytest

from parley.ids import new_id
from parley.storage.postgres import Pool
from parley_testing.telemetry.query_plans import PLAN_MODES, PlanMode, explain
from webhooks.database import Database
from webhooks.sending import postgres
from webhooks.sending.claim_statements import BACKLOG, CLAIM, MAX_COUNTED, MAX_WALKED_KEYS, WEBHOOKS
from webhooks.sending.postgres import AttemptOutcome, PostgresDeliveryQueue
from webhooks_testing.stored_deliveries import store_deliveries, store_webhook

pytestmark = pytest.mark.integration

DELIVERED = AttemptOutcome("delivered", None, 204, 1, None)
MAX_WORK = 100
"""Rows and index entries that one claim may read of an ordered webhook with four keys."""
_FAIL_FIRST = """
UPDATE deliveries SET status = 'failed', next_attempt_at = now() + interval '1 hour' WHERE position IN (
    SELECT min(position) FROM deliveries WHERE webhook_id = $1 GROUP BY partition_key)"""

_SPREAD = "UPDATE deliveries SET partition_key = 'k' || lpad((position % $1::int)::text, 6, '0')"


async def ordered_webhook(pool: Pool, deliveries: int) -> UUID:
    """Return an ordered webhook whose deliveries of four keys are due."""
    webhook = await store_webhook(pool, ordered=True)
    await store_deliveries(pool, webhook, deliveries)
    return webhook


async def test_every_key_of_an_ordered_webhook_has_its_turn(pool: Pool) -> None:
    await ordered_webhook(pool, 12)
    queue, keys, positions = PostgresDeliveryQueue(Database(pool), max_in_flight=1, disable_after=60), [], []
    for _ in range(12):
        (claimed,) = await queue.claim(50, 1_000, only_healthy=False)
        assert not await queue.claim(50, 1_000, only_healthy=False)
        await queue.finish(claimed, DELIVERED)
        row = await pool.fetchrow("SELECT partition_key, position FROM deliveries WHERE id = $1", claimed.id)
        keys.append(row["partition_key"])
        positions.append(row["position"])
    assert keys == ["k0", "k1", "k2", "k3"] * 3
    assert positions == sorted(positions)


@pytest.mark.parametrize(("size", "claimed"), [(1, 1), (2, 1), (3, 2), (7, 4), (1_000, 4)])
async def test_a_claim_ends_with_the_body_with_which_all_reach_the_size(pool: Pool, size: int, claimed: int) -> None:
    await ordered_webhook(pool, 12)
    queue = PostgresDeliveryQueue(Database(pool), max_in_flight=5, disable_after=60)
    assert len(await queue.claim(50, size, only_healthy=False)) == claimed
    assert await pool.fetchval("SELECT count(*) FROM deliveries WHERE claim IS NOT NULL") == claimed


async def test_a_claim_has_the_share_of_each_user_and_nothing_of_users_who_have_theirs(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "MAX_BYTES_OF_USER", 2_000)
    greedy, other = new_id(), new_id()
    own = [await store_webhook(pool, user) for user in (greedy, greedy, other)]
    shared = await store_webhook(pool, greedy, scope="all")
    for webhook in (*own, shared):
        await store_deliveries(pool, webhook, 5)
    await pool.execute("UPDATE events SET body = convert_to(repeat('x', 1000), 'UTF8')")
    queue = PostgresDeliveryQueue(Database(pool), max_in_flight=5, disable_after=60)
    claimed = await queue.claim(50, 200_000, only_healthy=False)
    assert Counter((each.owner, each.is_own) for each in claimed) == {
        (greedy, True): 2,
        (other, True): 2,
        (greedy, False): 5,
    }
    following = await queue.claim(50, 200_000, only_healthy=False, without=[greedy])
    assert {each.owner for each in following} == {other}


@pytest.mark.parametrize("mode", PLAN_MODES)
async def test_a_claim_reads_no_delivery_that_waits_behind_a_failed_one_of_its_key(pool: Pool, mode: PlanMode) -> None:
    webhook = await ordered_webhook(pool, 2000)
    await pool.execute(_FAIL_FIRST, webhook)
    queue = PostgresDeliveryQueue(Database(pool), max_in_flight=5, disable_after=60)
    assert not await queue.claim(50, 1_000, only_healthy=False)
    async with pool.acquire() as connection:
        plan = await explain(connection, CLAIM, [[webhook], 5, 50, new_id(), 12.0, [""], 1_000, [], 1_000], mode)
    assert plan.work < MAX_WORK, plan.summary


async def test_a_claim_looks_at_a_part_of_many_keys_and_the_next_one_goes_on_behind_it(pool: Pool) -> None:
    keys = 2 * MAX_WALKED_KEYS + 100
    webhook = await ordered_webhook(pool, keys)
    await pool.execute(_SPREAD, keys)
    await pool.execute("UPDATE deliveries SET status = 'failed', next_attempt_at = now() + interval '1 hour'")
    last = f"k{keys - 1:06}"
    await pool.execute("UPDATE deliveries SET next_attempt_at = now() WHERE partition_key = $1", last)
    queue = PostgresDeliveryQueue(Database(pool), max_in_flight=5, disable_after=60)
    found = [len(await queue.claim(50, 1_000, only_healthy=False)) for _ in range(3)]
    assert found == [0, 0, 1]
    async with pool.acquire() as connection:
        arguments = [[webhook], 5, 50, new_id(), 12.0, [""], 1_000, [], 1_000]
        plan = await explain(connection, CLAIM, arguments, "force_custom_plan")
    assert plan.work < 5 * MAX_WALKED_KEYS, plan.summary


@pytest.mark.parametrize("mode", PLAN_MODES)
async def test_a_backlog_that_statistics_do_not_know_is_not_read(pool: Pool, mode: PlanMode) -> None:
    webhook = await store_webhook(pool)
    await store_deliveries(pool, webhook, 5000, "delivered")
    await pool.execute("UPDATE deliveries SET status = 'pending', next_attempt_at = now()")
    await pool.execute("UPDATE deliveries SET next_attempt_at = now() + interval '1 hour' WHERE position % 2 = 0")
    async with pool.acquire() as connection:
        claims = await explain(connection, WEBHOOKS, [False, 5, []], mode)
        plans = [claims, await explain(connection, BACKLOG, [], mode)]
    assert plans[0].work < MAX_WORK, plans[0].summary
    assert plans[1].work < 2500 + MAX_WORK, plans[1].summary


async def test_due_deliveries_are_counted_up_to_a_bound(pool: Pool) -> None:
    for _ in range(2):
        await store_deliveries(pool, await store_webhook(pool), MAX_COUNTED // 2 + 100)
    queue = PostgresDeliveryQueue(Database(pool), max_in_flight=5, disable_after=60)
    assert (await queue.backlog())["due"] == MAX_COUNTED
