"""The in-memory stores pass the contract of the Postgres stores."""

import pytest

from history_testing.in_memory_stores import (
    InMemoryConversationStore,
    InMemoryHistory,
    InMemoryMessageStore,
    InMemoryTurnStore,
)
from history_testing.store_contract import StoreContract, Stores
from history_testing.turn_events import SampleTurn


class TestInMemoryStores(StoreContract):
    @pytest.fixture
    def stores(self) -> Stores:
        history = InMemoryHistory()

        async def add(*turns: SampleTurn) -> None:
            history.add(*turns)

        return Stores(
            InMemoryConversationStore(history), InMemoryMessageStore(history), InMemoryTurnStore(history), add
        )
