"""Fixtures: a migrated database per call, and a running history app."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from history_testing.app import NewDatabase, OpenHistory, RunningHistory, open_history
from parley.messaging import outbox
from parley.storage import migrations
from parley_testing.backends.shared_servers import SharedBackends
from parley_testing.security.token_issuer import TestIssuer


async def _migrate(dsn: str) -> None:
    await migrations.migrate(dsn, outbox.MIGRATIONS, "history")


@pytest.fixture(scope="session")
async def new_database(backends: SharedBackends) -> NewDatabase:
    async def create() -> str:
        return await backends.fresh_database(_migrate, "history")

    return create


@pytest.fixture(scope="session")
async def open_history_on(backends: SharedBackends) -> OpenHistory:
    """Open a history app on a database, with settings changed by the test."""
    issuer = TestIssuer()

    @contextlib.asynccontextmanager
    async def opened(dsn: str, **changed: Any) -> AsyncIterator[RunningHistory]:
        async with open_history(dsn, await backends.redis_url(), issuer, **changed) as history:
            yield history

    return opened


@pytest.fixture(scope="session")
async def history(open_history_on: OpenHistory, new_database: NewDatabase) -> AsyncIterator[RunningHistory]:
    """One app for all tests. Each test has its own users."""
    async with asyncio.timeout(None), open_history_on(await new_database()) as found:
        yield found
