"""Contract of the Postgres turn store."""

from collections.abc import AsyncIterator

import pytest

from chat.storage.postgres_turns import PostgresTurnStore
from chat_testing.replica import NewDatabase
from chat_testing.turn_reading_contract import TurnReadingContract
from chat_testing.turn_store_contract import TurnStoreContract
from parley.storage.postgres import open_pool

pytestmark = pytest.mark.integration


class TestPostgresTurnStore(TurnStoreContract, TurnReadingContract):
    @pytest.fixture
    async def store(self, new_database: NewDatabase) -> AsyncIterator[PostgresTurnStore]:
        async with open_pool(await new_database(), size=2) as pool:
            yield PostgresTurnStore(pool, lambda: None)
