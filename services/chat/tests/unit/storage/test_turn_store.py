"""Contract of the in-memory turn store."""

import pytest

from chat_testing.turn_reading_contract import TurnReadingContract
from chat_testing.turn_store import InMemoryTurnStore
from chat_testing.turn_store_contract import TurnStoreContract


class TestInMemoryTurnStore(TurnStoreContract, TurnReadingContract):
    @pytest.fixture
    def store(self) -> InMemoryTurnStore:
        return InMemoryTurnStore()
