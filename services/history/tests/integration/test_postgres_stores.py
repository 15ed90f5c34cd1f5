"""The Postgres stores pass the contract of the conversation, message and turn stores."""

import pytest

from history.conversations.postgres import PostgresConversationStore
from history.database import Database
from history.messages.postgres import PostgresMessageStore
from history.turns.postgres import PostgresTurnLookup
from history_testing.app import RunningHistory
from history_testing.store_contract import HistoryStoreContract, Stores
from history_testing.turn_events import SampleTurn

pytestmark = pytest.mark.integration


class TestPostgresHistoryStores(HistoryStoreContract):
    @pytest.fixture
    def stores(self, history: RunningHistory) -> Stores:
        database = Database(history.pool)

        async def add(*turns: SampleTurn) -> None:
            await history.publish(*(turn.ended() for turn in turns))

        return Stores(
            PostgresConversationStore(database), PostgresMessageStore(database), PostgresTurnLookup(database), add
        )
