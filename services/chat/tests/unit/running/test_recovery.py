"""Recovery of turns whose runner lost its lease."""

import contextlib
from collections.abc import Collection
from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import pytest

from chat.model import LogEntry, Turn
from chat.running.lease import LEASE_LENGTH
from chat.running.recovery import contiguous
from chat.running.turn_log_store import LogAppend, LogItem
from chat.running.turn_updates import TurnFinished, from_row
from chat_testing.bench import EngineBench
from chat_testing.turn_store import InMemoryTurnStore
from chat_testing.turns import make_new_turn
from parley.errors import DependencyUnavailable
from parley.ids import new_id


async def orphan(bench: EngineBench, *texts: str, **changed: object) -> Turn:
    """Store a turn of a runner without a lease, and its log; returns the turn as taken over."""
    turn = await bench.admit(**changed)
    if texts:
        entries = [None, *(LogEntry(text) for text in texts)]
        await bench.logs.append([LogAppend(turn.id, 1, 1, entries, create=True)])
    taken = await bench.turns.take_over(new_id(), [turn.id])
    return taken[0]


async def with_stable_lease(bench: EngineBench) -> None:
    """Make the lease old enough for its holder to take turns over."""
    await bench.lease.renew()
    bench.now = LEASE_LENGTH - 1
    await bench.lease.renew()
    bench.now = LEASE_LENGTH


async def test_a_turn_with_output_ends_as_interrupted_with_the_entries_of_its_log() -> None:
    bench = EngineBench()
    turn = await orphan(bench, "Hel", "lo", prompt_tokens=9)
    await bench.recovery.recover(turn)
    ended = bench.turns.turns[turn.id]
    assert (ended.status, ended.finish_reason, ended.content) == ("incomplete", "interrupted", "Hello")
    assert ended.usage is not None
    assert (ended.usage.prompt_tokens, ended.usage.estimated) == (9, True)
    assert bench.registry.get_sample_value("chat_turns_recovered_total") == 1


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_a_reader_who_has_seen_more_than_the_log_gets_the_end_of_the_turn(is_cancelled: bool) -> None:
    bench = EngineBench()
    turn = replace(await orphan(bench, "Hel"), cancel_requested=is_cancelled)
    await bench.recovery.recover(turn)
    ended = bench.turns.turns[turn.id]
    assert [update async for update in from_row(ended, 9)] == [TurnFinished(ended.last_seq, ended)]


async def test_a_turn_whose_log_is_lost_fails_and_says_so() -> None:
    bench = EngineBench()
    turn = await orphan(bench)
    await bench.recovery.recover(turn)
    ended = bench.turns.turns[turn.id]
    assert (ended.status, ended.log_lost, ended.cost) == ("failed", True, Decimal(0))
    assert ended.error is not None
    assert ended.error.code == "upstream_error"


async def test_a_turn_with_a_requested_cancellation_ends_as_cancelled() -> None:
    bench = EngineBench()
    turn = replace(await orphan(bench, "Hel"), cancel_requested=True)
    await bench.recovery.recover(turn)
    assert bench.turns.turns[turn.id].status == "cancelled"


async def test_the_old_runner_can_append_no_more() -> None:
    bench = EngineBench()
    turn = await orphan(bench, "Hel")
    await bench.recovery.recover(turn)
    assert await bench.logs.append([LogAppend(turn.id, 1, 3, [LogEntry("late")])]) == ["refused"]


async def test_a_turn_is_ended_without_its_log_when_the_log_store_stays_unavailable() -> None:
    bench = EngineBench()
    turn = await orphan(bench, "Hel")
    bench.logs.unavailable = True
    await bench.recovery.recover(turn)
    assert (bench.turns.turns[turn.id].status, bench.turns.turns[turn.id].log_lost) == ("failed", True)


async def test_an_unavailable_database_leaves_the_turn_to_the_next_scan() -> None:
    bench = EngineBench()
    turn = await orphan(bench, "Hel")
    bench.turns.unavailable = True
    with pytest.raises(DependencyUnavailable):
        await bench.recovery.recover(turn)
    assert bench.turns.turns[turn.id].running


async def test_a_model_that_left_the_catalogue_leaves_the_cost_unknown() -> None:
    bench = EngineBench()
    turn = await orphan(bench, "Hel", model="removed")
    await bench.recovery.recover(turn)
    assert (bench.turns.turns[turn.id].cost, bench.turns.turns[turn.id].provider) == (None, None)


async def test_turns_are_only_taken_over_while_the_lease_is_stable() -> None:
    bench = EngineBench()
    turn = await bench.admit()
    await bench.turns.release_lease(bench.runner_id)
    await bench.lease.renew()
    assert await bench.recovery.take_over(()) == []
    await with_stable_lease(bench)
    assert await bench.recovery.take_over([turn.id]) == []
    assert [taken.id for taken in await bench.recovery.take_over(())] == [turn.id]
    bench.turns.unavailable = True
    with pytest.raises(DependencyUnavailable):
        await bench.recovery.take_over(())


async def test_a_turn_that_is_being_admitted_is_not_taken_over() -> None:
    bench = EngineBench()
    await with_stable_lease(bench)
    new = make_new_turn()
    with bench.supervisor.admitting(new.id, new.user_id):
        await bench.turns.admit(new, bench.runner_id, None)
        assert await bench.recovery.take_over(()) == []
    assert [taken.id for taken in await bench.recovery.take_over(())] == [new.id]


async def test_a_turn_that_is_admitted_while_lost_ones_are_looked_for_is_not_taken_over() -> None:
    class AdmittingTurnStore(InMemoryTurnStore):
        async def left_behind(self, runner_id: UUID, owned: Collection[UUID], limit: int) -> list[UUID]:
            admitting.enter_context(bench.supervisor.admitting(new.id, new.user_id))
            await self.admit(new, runner_id, None)
            return await super().left_behind(runner_id, owned, limit)

    bench, new = EngineBench(turns=AdmittingTurnStore()), make_new_turn()
    await with_stable_lease(bench)
    lost = await bench.admit()
    with contextlib.ExitStack() as admitting:
        assert [taken.id for taken in await bench.recovery.take_over(())] == [lost.id]


def test_a_sealed_log_counts_up_to_its_first_gap() -> None:
    items = [
        LogItem(1, 1, None),
        LogItem(1, 2, LogEntry("a")),
        LogItem(1, 3, LogEntry("b")),
        LogItem(1, 5, LogEntry("d")),
        LogItem(2, 0, None, end=True),
    ]
    assert contiguous(items, 2) == ((LogEntry("a"), LogEntry("b")), False)


def test_a_log_without_its_beginning_is_lost() -> None:
    assert contiguous([LogItem(2, 0, None, end=True)], 2) == ((), True)


def test_entries_of_the_own_epoch_are_ignored() -> None:
    assert contiguous([LogItem(1, 1, None), LogItem(2, 2, LogEntry("x"))], 2) == ((), False)
