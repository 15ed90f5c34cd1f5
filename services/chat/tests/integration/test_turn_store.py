"""Contract of the Postgres turn store, and what is read of turns that run elsewhere."""

from collections.abc import AsyncIterator

import pytest

from chat.storage.postgres_runners import PostgresRunnerStore
from chat.storage.postgres_turns import PostgresTurnStore
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


class TestPostgresTurnStore(TurnStoreContract, TurnReadingContract):
    @pytest.fixture
    async def store(self, new_database: NewDatabase) -> AsyncIterator[PostgresTurnStore]:
        async with open_pool(await new_database(), size=2) as pool:
            yield PostgresTurnStore(pool, lambda: None)
