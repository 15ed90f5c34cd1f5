"""Fixtures: auth apps and processes over fresh databases."""

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from auth.settings import AuthSettings
from auth_testing.app import GATEWAY_SECRET, MakeSettings, RunningAuth, StartAuth, running_auth
from auth_testing.mail_sink import PAGE, VERIFICATION_PAGE, MailSink
from auth_testing.replica import StartReplica, running_replica
from parley.config.settings import load
from parley.messaging import outbox
from parley.storage import migrations
from parley_testing.backends.shared_servers import SharedBackends

SECRET_KEY = base64.b64encode(secrets.token_bytes(32)).decode()


async def _migrate(dsn: str) -> None:
    await migrations.migrate(dsn, outbox.MIGRATIONS, "auth")


@pytest.fixture(scope="module")
async def make_settings(backends: SharedBackends) -> AsyncIterator[MakeSettings]:
    made: list[str] = []

    async def make(**overrides: Any) -> AuthSettings:
        if "database_url" not in overrides:
            overrides["database_url"] = await backends.fresh_database(_migrate, "auth")
            made.append(overrides["database_url"])
        defaults = {
            "redis_url": await backends.redis_url(),
            "auth_secret_key": SECRET_KEY,
            "registration": "open",
            "admin_port": 0,
            "internal_clients": f'{{"gateway": "{GATEWAY_SECRET}"}}',
        }
        return load(AuthSettings, **(defaults | overrides))

    yield make
    for dsn in made:
        await backends.drop(dsn)


@pytest.fixture(scope="session")
def start() -> StartAuth:
    return running_auth


@pytest.fixture(scope="module")
async def auth(make_settings: MakeSettings) -> AsyncIterator[RunningAuth]:
    async with running_auth(await make_settings()) as found:
        yield found


@pytest.fixture
def replica(tmp_path: Path) -> StartReplica:
    return partial(running_replica, folder=tmp_path)


@pytest.fixture(scope="module")
async def sink() -> AsyncIterator[MailSink]:
    found = MailSink()
    async with await asyncio.start_server(found.serve, "127.0.0.1", 0) as server:
        found.port = server.sockets[0].getsockname()[1]
        yield found


@pytest.fixture(scope="module")
async def mailing(make_settings: MakeSettings, start: StartAuth, sink: MailSink) -> AsyncIterator[Any]:
    settings = await make_settings(
        smtp_url=f"smtp://127.0.0.1:{sink.port}",
        smtp_from="parley@example.org",
        password_reset_url=PAGE,
        email_verification_url=VERIFICATION_PAGE,
    )
    async with start(settings) as found:
        yield found
