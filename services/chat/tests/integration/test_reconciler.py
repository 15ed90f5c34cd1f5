"""Reconciliation with history, and retention."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chat.storage.postgres_maintenance import PostgresMaintenanceStore
from chat.storage.postgres_turns import PostgresTurnStore
from chat_testing.replica import ChatReplica, NewDatabase, OpenReplica
from chat_testing.stub_history import StubHistory
from parley.ids import new_id
from parley_events.cloudevents import CloudEvent
from parley_testing import eventually

pytestmark = pytest.mark.integration


@pytest.fixture
async def hasty(open_replica: OpenReplica, new_database: NewDatabase) -> AsyncIterator[ChatReplica]:
    """A replica that keeps and waits for nothing; only ``once`` reconciles."""
    options: dict[str, Any] = {"reconcile_interval": 3600, "turn_retention": 0.001, "event_retention": 0.001}
    async with open_replica(await new_database(), **options) as found:
        found.wired.reconciler.republish_after = 0.0
        yield found


async def test_confirmed_turns_are_purged_and_missing_ones_are_kept(hasty: ChatReplica, history: StubHistory) -> None:
    user = hasty.user()
    stored = (await user.chat("Stored [[fake tokens=1]]")).json()
    lost = (await user.chat("Lost [[fake tokens=1]]")).json()
    await eventually(lambda: _all_sent(hasty))
    history.known.add(stored["turn_id"])
    await hasty.wired.reconciler.reconcile()
    assert (await user.request("GET", f"/api/v1/chat/turns/{stored['turn_id']}")).status_code == 404
    assert (await user.turn(lost["turn_id"]))["status"] == "completed"
    assert await hasty.outbox(stored["conversation_id"]) == []
    assert len(await hasty.outbox(lost["conversation_id"])) == 2
    more = await user.chat("More [[fake tokens=1]]", conversation_id=lost["conversation_id"])
    assert more.json()["context"] == "complete"


async def test_missing_turns_are_republished_in_order(hasty: ChatReplica) -> None:
    heard: list[str] = []
    user = hasty.user()
    lost = (await user.chat("Lost [[fake tokens=1]]")).json()
    await eventually(lambda: _all_sent(hasty))
    await _listen(hasty, heard, lost["turn_id"])
    assert heard == ["conversation.turn.started", "conversation.turn.completed"]


async def test_a_deletion_whose_event_was_lost_removes_the_content(hasty: ChatReplica, history: StubHistory) -> None:
    user = hasty.user()
    kept = (await user.chat("Kept [[fake tokens=1]]")).json()
    lost = (await user.chat("Lost [[fake tokens=1]]")).json()
    deleted_at = datetime.now(UTC) - timedelta(hours=1)
    history.deletions = [
        {
            "conversation_id": lost["conversation_id"],
            "user_id": str(user.id),
            "deleted_at": deleted_at.isoformat(),
        }
    ]
    for _ in range(2):
        await hasty.wired.reconciler.reconcile()
    history.deletions = []
    texts = "SELECT user_message FROM turns WHERE conversation_id::text = $1"
    assert await hasty.pool.fetchval(texts, lost["conversation_id"]) == ""
    assert await hasty.pool.fetchval(texts, kept["conversation_id"]) == "Kept [[fake tokens=1]]"
    until = "SELECT compared_until FROM comparisons WHERE name = 'deletions'"
    assert await hasty.pool.fetchval(until) > deleted_at + timedelta(minutes=30), "the deletions are not read again"


@pytest.mark.parametrize(("sent", "again"), [(25, False), (35, True)])
async def test_events_that_may_wait_in_a_queue_are_republished_at_growing_intervals(
    hasty: ChatReplica, sent: int, again: bool
) -> None:
    hasty.wired.reconciler.republish_after = 10.0
    body = (await hasty.user().chat("Queued [[fake tokens=1]]")).json()
    await eventually(lambda: _all_sent(hasty))
    await hasty.pool.execute("UPDATE turns SET finished_at = now() - interval '60 s'")
    aged = (
        "UPDATE outbox SET sent_at = $1, time = now() - interval '60 s', confirmed_at = NULL WHERE partition_key = $2"
    )
    moment = datetime.now(UTC) - timedelta(seconds=sent)
    await hasty.pool.execute(aged, moment, body["conversation_id"])
    await hasty.wired.reconciler.reconcile()
    await eventually(lambda: _all_sent(hasty))
    last = await hasty.pool.fetchval(
        "SELECT min(sent_at) FROM outbox WHERE partition_key = $1", body["conversation_id"]
    )
    assert (last > moment) is again


async def test_without_history_nothing_is_confirmed_or_purged(hasty: ChatReplica, history: StubHistory) -> None:
    user = hasty.user()
    body = (await user.chat("Hi [[fake tokens=1]]")).json()
    await eventually(lambda: _all_sent(hasty))
    history.down = True
    try:
        await hasty.wired.reconciler.reconcile()
    finally:
        history.down = False
    assert (await user.turn(body["turn_id"]))["status"] == "completed"
    assert len(await hasty.outbox(body["conversation_id"])) == 2


async def test_one_replica_has_a_run_within_the_interval(hasty: ChatReplica) -> None:
    stores = [PostgresMaintenanceStore(PostgresTurnStore(hasty.pool, lambda: None)) for _ in range(2)]
    name = f"run {new_id()}"
    claimed = await asyncio.gather(*(store.claim_run(name, 60) for store in stores * 5))
    assert claimed.count(True) == 1
    assert await stores[0].claim_run(f"another {name}", 60)
    assert not await stores[0].claim_run(name, 60)
    for moved in ("- interval '61 seconds'", "+ interval '1 hour'"):
        await hasty.pool.execute(
            f"UPDATE claimed_runs SET began_at = now() {moved} WHERE name = $1",
            name,
        )
        assert await stores[0].claim_run(name, 60)


async def _listen(replica: ChatReplica, heard: list[str], turn_id: str) -> None:
    from parley_events.subscription import Subscription

    async def handle(event: CloudEvent) -> None:
        if event.json()["turn_id"] == turn_id:
            heard.append(event.name)

    async with replica.bus.consume(Subscription("test.listener", ("conversation.turn.*",), handle)):
        await replica.wired.reconciler.reconcile()
        await eventually(lambda: len(heard) == 2)


async def _all_sent(replica: ChatReplica) -> bool:
    return not await replica.pool.fetchval("SELECT count(*) FROM outbox WHERE sent_at IS NULL")
