"""Contract of the in-memory log store."""

import pytest

from chat_testing.log_store import InMemoryLogStore
from chat_testing.log_store_contract import LogStoreContract


class TestInMemoryLogStore(LogStoreContract):
    @pytest.fixture
    def store(self) -> InMemoryLogStore:
        return InMemoryLogStore()
