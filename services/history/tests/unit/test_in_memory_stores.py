"""The in-memory stores pass the contract of the Postgres stores."""

import pytest

from history_testing.in_memory_stores import (
    InMemoryConversationStore,
    InMemoryHistory,
    InMemoryMessageStore,
    InMemoryTurnLookup,
)
from history_testing.store_contract import HistoryStoreContract, Stores
from history_testing.turn_events import SampleTurn


class TestInMemoryHistoryStores(HistoryStoreContract):
    @pytest.fixture
    def stores(self) -> Stores:
        history = InMemoryHistory()

        async def add(*turns: SampleTurn) -> None:
            history.add(*turns)

        return Stores(
            InMemoryConversationStore(history), InMemoryMessageStore(history), InMemoryTurnLookup(history), add
        )
