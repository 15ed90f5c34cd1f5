"""Comparison with history, and the purge."""

from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from chat.events.maintenance_store import UnconfirmedTurn
from chat.events.reconciler import PAGE_SIZE, Reconciler
from chat.history import StoredTurn
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
            history=self.history,
            metrics=ChatMetrics(self.registry),
            interval=60,
            turn_retention=1,
            event_retention=1,
        )

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
    assert (bench.store.purge_calls, bench.erasure.late_turns_blanked) == (1, 1)


async def test_an_unavailable_database_ends_the_run_without_an_error() -> None:
    bench = ReconcilerBench()
    bench.store.unavailable = True
    await bench.reconciler.reconcile()
    assert (bench.store.purge_calls, bench.erasure.late_turns_blanked) == (1, 1)


async def test_the_purge_continues_while_batches_are_full() -> None:
    bench = ReconcilerBench()
    bench.store.purges = [PAGE_SIZE, PAGE_SIZE, 1]
    await bench.reconciler.reconcile()
    assert bench.store.purge_calls == 3
