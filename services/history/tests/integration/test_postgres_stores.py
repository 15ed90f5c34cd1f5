"""The Postgres stores pass the contract of the conversation, message and turn stores."""

import pytest

from history.conversations.postgres import PostgresConversationStore
from history.database import Database
from history.messages.postgres import PostgresMessageStore
from history.turns.postgres import PostgresTurnStore
from history_testing.app import RunningHistory
from history_testing.store_contract import StoreContract, Stores
from history_testing.turn_events import SampleTurn

pytestmark = pytest.mark.integration


class TestPostgresStores(StoreContract):
    @pytest.fixture
    def stores(self, history: RunningHistory) -> Stores:
        database = Database(history.pool)

        async def add(*turns: SampleTurn) -> None:
            await history.publish(*(turn.ended() for turn in turns))

        return Stores(
            PostgresConversationStore(database), PostgresMessageStore(database), PostgresTurnStore(database), add
        )
