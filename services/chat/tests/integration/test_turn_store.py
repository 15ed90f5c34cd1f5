"""Contract of the Postgres turn store, and what is read of turns that run elsewhere."""

from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from chat.model import Reservation
from chat.storage.postgres_runners import PostgresRunnerStore
from chat.storage.postgres_turns import PostgresTurnStore
from chat.turn_store import AdmissionResult, BudgetExceeded, TurnRefused
from chat_testing.replica import NewDatabase
from chat_testing.turn_reading_contract import TurnReadingContract
from chat_testing.turn_store_contract import TurnStoreContract, admitted
from chat_testing.turns import make_new_turn, make_outcome
from parley.ids import new_id
from parley.storage.postgres import open_pool

pytestmark = pytest.mark.integration


async def test_nothing_is_read_of_running_turns_but_that_they_run(new_database: NewDatabase) -> None:
    async with open_pool(await new_database(), size=2) as pool:
        store = PostgresTurnStore(pool, lambda: None)
        running, ended = await admitted(store, make_new_turn()), await admitted(store, make_new_turn())
        stored = await store.finish(ended, make_outcome("done"))
        found = await PostgresRunnerStore(store).ended([running.id, ended.id, new_id()])
        assert found == {running.id: None, ended.id: stored}


@pytest.mark.parametrize("budgeted", [False, True])
async def test_an_admission_that_is_repeated_because_its_commit_was_not_acknowledged_finds_its_turn(
    new_database: NewDatabase, *, budgeted: bool
) -> None:
    # The turn itself has used up the budget, and runs in its conversation.
    reservation = Reservation(("day:2026-11-22",), 60, Decimal(0), (100,), (None,)) if budgeted else Reservation()
    async with open_pool(await new_database(), size=2) as pool:
        store, runner = PostgresTurnStore(pool, lambda: None), new_id()
        first = await admitted(store, make_new_turn())
        await store.finish(first, make_outcome("done"))
        where: dict[str, Any] = {
            "user_id": first.user_id,
            "conversation_id": first.conversation_id,
            "parent_id": first.id,
        }
        new = make_new_turn(**where, reservation=reservation)
        assert await store.admit(new, runner, None) == AdmissionResult(new.id, 2, None)
        assert await store.admit(new, runner, None) == AdmissionResult(new.id, 2, None)
        with pytest.raises(BudgetExceeded if budgeted else TurnRefused):
            await store.admit(replace(new, id=new_id()), runner, None)


async def test_turns_without_a_runner_are_found_at_once_and_taken_over_once(new_database: NewDatabase) -> None:
    async with open_pool(await new_database(), size=2) as pool:
        store, me, other = PostgresTurnStore(pool, lambda: None), new_id(), new_id()
        runners = PostgresRunnerStore(store)
        news = [make_new_turn() for _ in range(5)]
        running, lost, ended, of_other, of_nobody = [new.id for new in news]
        for new, runner_id in zip(news, (me, me, me, other, new_id()), strict=True):
            await store.admit(new, runner_id, None)
        for runner_id in (me, other):
            await runners.renew_lease(runner_id, 60)
        done = await store.get(ended)
        assert done is not None
        await store.finish(done, make_outcome("done"))
        assert await runners.left_behind(me, [running], 9) == [lost, of_nobody]
        assert await runners.left_behind(me, [running], 1) == [lost]
        taken = await runners.take_over(me, [lost, ended, of_other, of_nobody])
        assert [(turn.id, turn.epoch, turn.runner_id) for turn in taken] == [(lost, 2, me), (of_nobody, 2, me)]
        assert not await runners.left_behind(me, [running, lost, of_nobody], 9)


class TestPostgresTurnStore(TurnStoreContract, TurnReadingContract):
    @pytest.fixture
    async def store(self, new_database: NewDatabase) -> AsyncIterator[PostgresTurnStore]:
        async with open_pool(await new_database(), size=2) as pool:
            yield PostgresTurnStore(pool, lambda: None)
