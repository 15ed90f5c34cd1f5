"""The PostgreSQL stores behave like the in-memory ones."""

from collections.abc import AsyncIterator

import pytest

from auth.container import AuthStores
from auth.wiring import postgres_stores
from auth_testing.store_contract import StoreContract
from parley.messaging import outbox
from parley.storage import migrations
from parley.storage.postgres import open_pool
from parley_testing.backends.shared_servers import SharedBackends


async def _migrate(dsn: str) -> None:
    await migrations.migrate(dsn, outbox.MIGRATIONS, "auth")


@pytest.mark.integration
class TestPostgresStores(StoreContract):
    @pytest.fixture
    async def stores(self, backends: SharedBackends) -> AsyncIterator[AuthStores]:
        dsn = await backends.fresh_database(_migrate, "auth")
        async with open_pool(dsn) as pool:
            yield postgres_stores(pool, token_lifetime=900)
        await backends.drop(dsn)
