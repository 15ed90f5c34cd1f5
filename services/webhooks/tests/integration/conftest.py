"""Fixtures: a migrated database per call, a running app, and a receiver."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from parley.messaging import outbox
from parley.storage import migrations
from parley.storage.postgres import Pool, open_pool
from parley_testing.backends.shared_servers import SharedBackends
from parley_testing.security.token_issuer import TestIssuer
from webhooks_testing.app import NewDatabase, OpenWebhooks, RunningWebhooks, open_webhooks
from webhooks_testing.receiver import Receiver, open_receiver


async def _migrate(dsn: str) -> None:
    await migrations.migrate(dsn, outbox.MIGRATIONS, "webhooks")


@pytest.fixture(scope="session")
async def new_database(backends: SharedBackends) -> NewDatabase:
    async def create() -> str:
        return await backends.fresh_database(_migrate, "webhooks")

    return create


@pytest.fixture
async def pool(new_database: NewDatabase) -> AsyncIterator[Pool]:
    """A connection to an empty database."""
    async with open_pool(await new_database(), size=1) as found:
        yield found


@pytest.fixture(scope="session")
async def open_webhooks_on(backends: SharedBackends) -> OpenWebhooks:
    """Open an app on a database, with settings changed by the test."""
    issuer = TestIssuer()

    @contextlib.asynccontextmanager
    async def opened(dsn: str, **changed: Any) -> AsyncIterator[RunningWebhooks]:
        async with open_webhooks(dsn, await backends.redis_url(), issuer, **changed) as found:
            yield found

    return opened


@pytest.fixture(scope="session")
async def webhooks(open_webhooks_on: OpenWebhooks, new_database: NewDatabase) -> AsyncIterator[RunningWebhooks]:
    """One app for all tests, whose retries follow at once. Each test has its own users."""
    fast = {"webhooks_retry_delays": "0.05,0.05,0.05"}
    async with asyncio.timeout(None), open_webhooks_on(await new_database(), **fast) as found:
        yield found


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with open_receiver() as found:
        yield found
