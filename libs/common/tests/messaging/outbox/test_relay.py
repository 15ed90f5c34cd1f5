"""Outbox relay: order within a key, independence of keys, retries, and one leader at a time."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from parley.messaging.outbox.relay import LOCK_KEY, PLANNER_SETTINGS, OutboxRelay
from parley.messaging.outbox.store import _WAITING, MAX_COUNTED, backlog, fetch_waiting, prepare, purge, record
from parley.observability.metrics import Metrics
from parley.process.tasks import background
from parley.storage.postgres import Pool
from parley_testing.fakes.recording_bus import RecordingBus
from parley_testing.telemetry.query_plans import PLAN_MODES, PlanMode, explain
from parley_testing.waiting import eventually

pytestmark = pytest.mark.integration

Append = Callable[..., Awaitable[None]]


async def unsent(pool: Pool) -> int:
    found: int = await pool.fetchval("SELECT count(*) FROM outbox WHERE sent_at IS NULL")
    return found


async def all_sent(pool: Pool) -> bool:
    return await unsent(pool) == 0


async def test_events_of_a_key_are_published_in_order(
    relay: OutboxRelay, bus: RecordingBus, pool: Pool, append: Append
) -> None:
    await asyncio.gather(*(append(f"k{number}", 30) for number in range(10)))
    await eventually(lambda: all_sent(pool), within=20)
    assert all(found == list(range(1, 31)) for found in bus.published.values())
    assert bus.count == 300


async def test_a_relay_prepares_its_statements_before_it_takes_the_lock(
    dsn: str, bus: RecordingBus, metrics: Metrics, pool: Pool
) -> None:
    relay = OutboxRelay(dsn, bus, source="/services/test", metrics=metrics)
    sessions = "SELECT pid FROM pg_stat_activity WHERE application_name = 'parley-relay' AND wait_event_type = 'Lock'"
    held = "SELECT count(*) FROM pg_locks WHERE pid = $1 AND locktype = 'advisory'"
    async with pool.acquire() as connection, background("relay", relay.lead):
        async with connection.transaction():
            await connection.execute("LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE")
            pid = await eventually(lambda: pool.fetchval(f"{sessions} AND datname = current_database()"))
            assert await pool.fetchval(held, pid) == 0
        await eventually(lambda: relay.leads, within=20)


async def test_a_prepared_connection_prepares_nothing_else(pool: Pool, append: Append) -> None:
    names = "SELECT array_agg(name ORDER BY name) FROM pg_prepared_statements WHERE statement LIKE '%outbox%'"
    async with pool.acquire() as connection:
        await prepare(connection)
        before = await connection.fetchval(names)
        await append("k", 2)
        first, second = await fetch_waiting(connection, 10, without=[])
        await record(connection, [first["id"]], [second["id"]])
        assert (await backlog(connection))["pending"] == 1
        assert await connection.fetchval(names) == before


async def test_many_keys_are_in_flight_at_once(
    relay: OutboxRelay, bus: RecordingBus, pool: Pool, append: Append
) -> None:
    bus.may_confirm.clear()
    await asyncio.gather(*(append(f"k{number}", 2) for number in range(20)))
    await eventually(lambda: bus.in_flight.total() == 20)
    bus.may_confirm.set()
    await eventually(lambda: all_sent(pool))


async def test_a_committed_event_is_published_without_a_hint(
    relay: OutboxRelay, bus: RecordingBus, append: Append
) -> None:
    await eventually(lambda: relay.leads)
    await append("k")
    await eventually(lambda: bus.count == 1)


async def test_an_uncommitted_event_is_not_published_and_does_not_delay_other_keys(
    relay: OutboxRelay, bus: RecordingBus, pool: Pool, append: Append
) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "SELECT outbox_append(gen_random_uuid(), 'user.updated', 'early', 'early', '{}'::jsonb)"
        )
        await append("late")
        await eventually(lambda: bus.published["late"] == [1])
        assert not bus.published["early"]
    await eventually(lambda: bus.published["early"] == [1])


async def test_a_refused_event_delays_only_its_own_key(
    relay: OutboxRelay, bus: RecordingBus, pool: Pool, append: Append
) -> None:
    bus.refused_keys.add("bad")
    await append("bad", 3)
    await append("good", 3)
    await eventually(lambda: bus.published["good"] == [1, 2, 3])
    await eventually(lambda: bus.attempts["bad"] >= 2)
    assert not bus.published["bad"]
    bus.refused_keys.clear()
    await eventually(lambda: bus.published["bad"] == [1, 2, 3], within=20)
    await eventually(lambda: all_sent(pool))


async def test_an_unexpected_error_is_retried_with_delays_and_delays_only_its_own_key(
    relay: OutboxRelay, bus: RecordingBus, pool: Pool, append: Append
) -> None:
    bus.failing_keys.add("bad")
    await append("bad")
    await append("good")
    await eventually(lambda: bus.published["good"] == [1])
    await eventually(lambda: bus.attempts["bad"] >= 3)
    assert await pool.fetchval("SELECT attempts FROM outbox WHERE partition_key = 'bad'") >= 2
    bus.failing_keys.clear()
    await eventually(lambda: all_sent(pool), within=20)


async def test_a_key_that_hangs_does_not_delay_the_others(
    relay: OutboxRelay, bus: RecordingBus, append: Append
) -> None:
    bus.may_confirm.clear()
    await append("hangs")
    await eventually(lambda: bus.in_flight["hangs"] == 1)
    await append("next")
    await eventually(lambda: bus.in_flight["next"] == 1)
    bus.may_confirm.set()


async def test_one_keys_long_backlog_leaves_room_for_the_others(
    relay: OutboxRelay, bus: RecordingBus, append: Append
) -> None:
    bus.may_confirm.clear()
    await append("long", 600)
    await eventually(lambda: bus.in_flight["long"] == 1)
    await append("short")
    await eventually(lambda: bus.in_flight["short"] == 1)
    bus.may_confirm.set()


async def test_an_outage_of_the_bus_uses_up_no_attempts(
    relay: OutboxRelay, bus: RecordingBus, pool: Pool, append: Append
) -> None:
    bus.is_down = True
    await append("a", 5)
    await append("b", 5)
    await eventually(lambda: bus.attempts["a"] >= 2)
    assert await pool.fetchval("SELECT max(attempts) FROM outbox") == 0
    bus.is_down = False
    await eventually(lambda: all_sent(pool))
    assert bus.published == {"a": [1, 2, 3, 4, 5], "b": [1, 2, 3, 4, 5]}


async def test_of_two_relays_one_leads_and_the_other_takes_over(
    dsn: str, bus: RecordingBus, metrics: Metrics, pool: Pool, append: Append
) -> None:
    first, second = (OutboxRelay(dsn, bus, source="/services/test", metrics=metrics) for _ in range(2))
    async with background("second", second.lead):
        async with background("first", first.lead):
            await append("k", 5)
            await eventually(lambda: all_sent(pool))
            assert first.leads != second.leads
            leader = first if first.leads else second
        if leader is first:
            await eventually(lambda: second.leads, within=20)
        await append("k", 5)
        await eventually(lambda: all_sent(pool))
    assert bus.published["k"] == list(range(1, 11))


async def test_a_leader_whose_session_ends_stops_and_leads_again(
    relay: OutboxRelay, bus: RecordingBus, pool: Pool, append: Append
) -> None:
    await eventually(lambda: relay.leads)
    ended = await pool.fetchval(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_locks"
        " WHERE locktype = 'advisory'"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND ((classid::bigint << 32) | objid::bigint) = $1",
        LOCK_KEY,
    )
    assert ended == 1
    await eventually(lambda: not relay.leads)
    await append("k")
    await eventually(lambda: bus.published["k"] == [1], within=20)


async def test_the_backlog_has_the_number_and_the_age_of_the_waiting_events(pool: Pool, append: Append) -> None:
    assert await backlog(pool) == {"pending": 0, "oldest_age_s": 0}
    await append("k", 3)
    await pool.execute("UPDATE outbox SET time = time - interval '7 seconds' WHERE sequence = 1")
    found = await backlog(pool)
    assert found["pending"] == 3
    assert found["oldest_age_s"] == pytest.approx(7, abs=2)


async def test_a_long_backlog_is_counted_up_to_a_bound(pool: Pool) -> None:
    await _append_many(pool, MAX_COUNTED + 500)
    assert (await backlog(pool))["pending"] == MAX_COUNTED


async def test_the_leader_reports_the_backlog_as_metrics(
    relay: OutboxRelay, bus: RecordingBus, metrics: Metrics, append: Append
) -> None:
    bus.is_down = True
    await append("k", 3)
    await eventually(lambda: metrics.registry.get_sample_value("outbox_pending") == 3)
    bus.is_down = False
    await eventually(lambda: metrics.registry.get_sample_value("outbox_pending") == 0)
    assert metrics.registry.get_sample_value("events_published_total", {"type": "user.updated"}) == 3


async def test_purging_keeps_unsent_recent_and_unconfirmed_events(pool: Pool, append: Append) -> None:
    await append("k", 4)
    await pool.execute("UPDATE outbox SET sent_at = now() - interval '25 hours' WHERE sequence <= 2")
    await pool.execute("UPDATE outbox SET confirmed_at = now() WHERE sequence = 1")
    await pool.execute("UPDATE outbox SET sent_at = now() WHERE sequence = 3")
    assert await purge(pool, retention=86_400, confirmed_only=True) == 1
    assert await purge(pool, retention=86_400, confirmed_only=False) == 1
    assert await pool.fetchval("SELECT array_agg(sequence ORDER BY sequence) FROM outbox") == [3, 4]


async def test_a_fetch_does_not_visit_the_events_that_were_sent(dsn: str, append: Append) -> None:
    connection = await asyncpg.connect(dsn, server_settings=PLANNER_SETTINGS)
    for number in range(20):
        await append(f"k{number}", 10)
        waiting = await fetch_waiting(connection, 100, without=[])
        await record(connection, [row["id"] for row in waiting], [])
    await fetch_waiting(connection, 100, without=[])  # removes the entries of the last sent events
    plan = await connection.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {_WAITING}", 100, [])
    await connection.close()
    assert json.loads(plan)[0]["Plan"]["Shared Hit Blocks"] < 5


@pytest.mark.parametrize("mode", PLAN_MODES)
async def test_a_fetch_reads_its_batch_and_not_the_backlog_of_a_long_outage(
    dsn: str, pool: Pool, mode: PlanMode
) -> None:
    await _append_many(pool, 3000)
    await pool.execute("UPDATE outbox SET sent_at = now()")
    await pool.execute("VACUUM ANALYZE outbox")  # from now on, Postgres expects no waiting event
    await _append_many(pool, 3000)
    await pool.execute("UPDATE outbox SET next_attempt_at = now() + interval '1 hour' WHERE sequence % 10 = 0")
    connection = await asyncpg.connect(dsn, server_settings=PLANNER_SETTINGS)
    plan = await explain(connection, _WAITING, [250, [f"k{number}" for number in range(30)]], mode)
    await connection.close()
    assert plan.work <= 1000, plan.summary


async def _append_many(pool: Pool, count: int) -> None:
    """Append events of a hundred keys, in statements that end in time on a busy machine."""
    for start in range(0, count, 500):
        await pool.execute(
            "SELECT outbox_append(gen_random_uuid(), 'user.updated', 'k' || n % 100, 'k' || n % 100, '{}'::jsonb)"
            " FROM generate_series($1::int + 1, $2::int) AS n",
            start,
            min(start + 500, count),
        )
