"""Contract of the in-memory turn store."""

import pytest

from chat_testing.turn_store import InMemoryTurnStore
from chat_testing.turn_store_contract import TurnStoreContract


class TestInMemoryTurnStore(TurnStoreContract):
    @pytest.fixture
    def store(self) -> InMemoryTurnStore:
        return InMemoryTurnStore()
