"""Metrics, and a database with an outbox."""

from collections.abc import AsyncIterator

import pytest

from parley.messaging import outbox
from parley.observability.metrics import Metrics
from parley.storage import migrations, postgres
from parley.storage.postgres import Pool
from parley_testing.backends.shared_servers import SharedBackends


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("test", "0", "unknown")


async def migrate(dsn: str) -> None:
    await migrations.migrate(dsn, outbox.MIGRATIONS)


@pytest.fixture
async def dsn(backends: SharedBackends) -> AsyncIterator[str]:
    made = await backends.fresh_database(migrate, "outbox")
    yield made
    await backends.drop(made)


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[Pool]:
    async with postgres.open_pool(dsn, size=20) as opened:
        yield opened
