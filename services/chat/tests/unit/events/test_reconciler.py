"""Comparison with history, and the purge."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from prometheus_client import CollectorRegistry

from chat.events.deletion_reconciler import OVERLAP, DeletionReconciler
from chat.events.maintenance_store import UnconfirmedTurn
from chat.events.reconciler import PAGE_SIZE, Reconciler
from chat.history import DeletedConversation, StoredTurn
from chat.metrics import ChatMetrics
from chat_testing.history import FakeHistory
from chat_testing.stores import InMemoryMaintenanceStore, InMemoryTurnErasureStore
from parley import times
from parley.ids import new_id


@dataclass
class ReconcilerBench:
    store: InMemoryMaintenanceStore = field(default_factory=InMemoryMaintenanceStore)
    erasure: InMemoryTurnErasureStore = field(default_factory=InMemoryTurnErasureStore)
    history: FakeHistory = field(default_factory=FakeHistory)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        self.reconciler = Reconciler(
            store=self.store,
            erasure=self.erasure,
            deletions=DeletionReconciler(self.erasure, self.history, self.delete),
            history=self.history,
            metrics=ChatMetrics(self.registry),
            interval=60,
            turn_retention=1,
            event_retention=1,
        )

    async def delete(self, conversation_id: UUID, user_id: UUID, deleted_at: datetime) -> None:
        await self.erasure.delete_conversation(conversation_id, user_id, deleted_at)

    def unconfirmed(self) -> UnconfirmedTurn:
        turn = UnconfirmedTurn(new_id(), times.now())
        self.store.turns.append(turn)
        return turn

    def stored(self) -> UnconfirmedTurn:
        turn = self.unconfirmed()
        self.history.stored[turn.turn_id] = StoredTurn("completed", None)
        return turn


async def test_turns_that_history_has_are_confirmed_and_missing_ones_republished() -> None:
    bench = ReconcilerBench()
    bench.stored()
    missing = bench.unconfirmed()
    await bench.reconciler.reconcile()
    assert bench.store.turns == [missing]
    assert bench.store.republished == [missing.turn_id]
    assert bench.registry.get_sample_value("chat_turns_republished_total") == 1


async def test_all_pages_are_compared() -> None:
    bench = ReconcilerBench()
    for _ in range(PAGE_SIZE + 1):
        bench.stored()
    await bench.reconciler.reconcile()
    assert bench.store.turns == []


async def test_without_history_nothing_is_confirmed_or_republished_but_old_data_is_purged() -> None:
    bench = ReconcilerBench()
    bench.stored()
    bench.history.unavailable = True
    await bench.reconciler.reconcile()
    assert (len(bench.store.turns), bench.store.republished) == (1, [])
    assert (bench.store.purge_calls, bench.erasure.all_blanked) == (1, 1)


async def test_an_unavailable_database_ends_the_run_without_an_error() -> None:
    bench = ReconcilerBench()
    bench.store.unavailable = True
    await bench.reconciler.reconcile()
    assert (bench.store.purge_calls, bench.erasure.all_blanked) == (1, 1)


async def test_the_purge_continues_while_batches_are_full() -> None:
    bench = ReconcilerBench()
    bench.store.purges = [PAGE_SIZE, PAGE_SIZE, 1]
    await bench.reconciler.reconcile()
    assert bench.store.purge_calls == 3


def deletion(age: timedelta) -> DeletedConversation:
    return DeletedConversation(new_id(), new_id(), times.now() - age)


async def test_a_deletion_whose_event_was_lost_is_applied() -> None:
    bench = ReconcilerBench()
    known, lost, recent = (deletion(timedelta(seconds=age)) for age in (3600, 600, 1))
    bench.history.deleted = [known, lost, recent]
    bench.erasure.deleted = [known.conversation_id]
    await bench.reconciler.reconcile()
    assert bench.erasure.deleted == [known.conversation_id, lost.conversation_id], "the event of the last is on its way"
    assert bench.erasure.compared_until is not None
    assert bench.erasure.compared_until >= recent.deleted_at


async def test_the_last_deletions_before_a_pause_are_not_read_at_each_run() -> None:
    bench = ReconcilerBench()
    bench.history.deleted = [deletion(2 * OVERLAP) for _ in range(3)]
    await bench.reconciler.reconcile()
    bench.erasure.deleted.clear()
    await bench.reconciler.reconcile()
    assert bench.erasure.deleted == []


async def test_of_several_replicas_one_reconciles() -> None:
    bench = ReconcilerBench()
    for _ in range(3):
        await bench.reconciler.reconcile_if_due()
    assert bench.store.purge_calls == 1


async def test_deletions_are_compared_from_some_time_before_the_last_comparison() -> None:
    bench = ReconcilerBench()
    old, committed_late = deletion(2 * OVERLAP), deletion(OVERLAP / 2)
    bench.history.deleted = [old, committed_late]
    bench.erasure.compared_until = times.now()
    await bench.reconciler.reconcile()
    assert bench.erasure.deleted == [committed_late.conversation_id]


async def test_more_deletions_than_a_page_are_compared_in_one_run() -> None:
    bench = ReconcilerBench()
    bench.history.deleted = [deletion(timedelta(hours=1)) for _ in range(PAGE_SIZE + 1)]
    await bench.reconciler.reconcile()
    assert len(bench.erasure.deleted) == PAGE_SIZE + 1


async def test_deletions_of_one_moment_that_one_run_cannot_compare_do_not_hide_later_ones() -> None:
    bench, moment = ReconcilerBench(), times.now() - timedelta(hours=1)
    erased = [DeletedConversation(new_id(), new_id(), moment) for _ in range(PAGE_SIZE)]
    later = deletion(timedelta(minutes=50))
    bench.history.deleted = [*erased, later]
    deletions = DeletionReconciler(bench.erasure, bench.history, bench.delete, max_pages=1)
    await deletions.reconcile()
    assert later.conversation_id not in bench.erasure.deleted
    await deletions.reconcile()
    assert later.conversation_id in bench.erasure.deleted
