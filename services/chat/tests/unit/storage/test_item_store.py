"""Contract of the in-memory item store."""

import pytest

from chat_testing.item_store import InMemoryItemStore
from chat_testing.item_store_contract import ItemStoreContract
from chat_testing.turn_store import InMemoryTurnStore


class TestInMemoryItemStore(ItemStoreContract):
    @pytest.fixture
    def turns(self) -> InMemoryTurnStore:
        return InMemoryTurnStore()

    @pytest.fixture
    def items(self, turns: InMemoryTurnStore) -> InMemoryItemStore:
        return InMemoryItemStore(turns)
