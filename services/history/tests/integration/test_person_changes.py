"""Changes of one person wait for each other without occupying the connections of others."""

import asyncio

import asyncpg
import pytest

from history.database import Database
from history_testing.app import NewDatabase, OpenHistory, RunningHistory
from history_testing.turn_events import SampleTurn
from parley.errors import Overloaded
from parley.ids import new_id

pytestmark = pytest.mark.integration


async def test_changes_that_wait_for_one_person_do_not_hold_up_the_requests_of_others(
    open_history_on: OpenHistory, new_database: NewDatabase
) -> None:
    dsn, one, other = await new_database(), SampleTurn(), SampleTurn()
    async with open_history_on(dsn, database_pool_size=4) as history:
        await history.publish(one.started(), other.started())
        ada, bob = history.user(one.user_id), history.user(other.user_id)
        path = f"/api/v1/conversations/{one.conversation_id}"
        holder = await asyncpg.connect(dsn)
        async with holder.transaction():
            await holder.execute("SELECT lock_person($1)", one.user_id)
            changes = [asyncio.create_task(ada.request("PATCH", path, json={"title": f"{n}"})) for n in range(8)]
            for _ in range(8):
                found = await bob.request("GET", f"/api/v1/conversations/{other.conversation_id}")
                assert found.status_code == 200
            assert not any(change.done() for change in changes)
        await holder.close()
        answers = await asyncio.gather(*changes)
        assert {answer.status_code for answer in answers} == {200}


async def test_a_change_that_waits_too_long_for_those_before_it_is_refused(history: RunningHistory) -> None:
    database, user_id = Database(history.pool, person_timeout=0.05), new_id()
    async with database.person_transaction(user_id):
        with pytest.raises(Overloaded):
            async with database.person_transaction(user_id):
                pass
        async with database.person_transaction(new_id()):
            pass
    async with database.person_transaction(user_id):
        pass
