"""The in-memory stores behave like the PostgreSQL ones."""

import pytest

from auth.container import AuthStores
from auth_testing.memory_database import MemoryDatabase
from auth_testing.memory_stores import memory_stores
from auth_testing.store_contract import StoreContract


class TestMemoryStores(StoreContract):
    @pytest.fixture
    def stores(self) -> AuthStores:
        return memory_stores(MemoryDatabase())
