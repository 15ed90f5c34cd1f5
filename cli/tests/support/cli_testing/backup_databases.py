"""Databases of every service for `parley backup` and `parley restore`, empty or filled."""

import asyncio
import secrets
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from typer.testing import CliRunner, Result

from parley.storage import migrations
from parley_cli.backup.services import SERVICES, migration_sources
from parley_cli.backup.settings import url_variable
from parley_cli.main import build
from parley_testing.backends.shared_servers import SharedBackends
from parley_testing.telemetry.filled_tables import fill_tables

ROWS = 60
WEBHOOKS_KEY = secrets.token_hex(32)
TABLES = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1"
Urls = dict[str, str]


async def with_tables(service: str, dsn: str) -> None:
    await migrations.migrate(dsn, *migration_sources(service))


async def with_rows(backends: SharedBackends, service: str, dsn: str) -> None:
    await with_tables(service, dsn)
    connection = await asyncpg.connect(await backends.superuser_url(dsn))
    await fill_tables(connection, ROWS)
    await connection.close()


@dataclass
class DatabaseServer:
    """Databases of one server, and commands with their settings."""

    backends: SharedBackends
    monkeypatch: pytest.MonkeyPatch
    key: str
    webhooks_key: str = WEBHOOKS_KEY

    async def databases(self, kind: str) -> Urls:
        """Return new databases: ``filled``, ``migrated`` or ``empty``."""

        async def fill(service: str, dsn: str) -> None:
            if kind == "filled":
                await with_rows(self.backends, service, dsn)
            elif kind == "migrated":
                await with_tables(service, dsn)

        return {
            service: await self.backends.fresh_database(partial(fill, service), f"backup {kind} {service}")
            for service in SERVICES
        }

    def use(self, urls: Urls, key: str | None = None) -> None:
        for service, url in urls.items():
            self.monkeypatch.setenv(url_variable(service), url)
        self.monkeypatch.setenv("AUTH_SECRET_KEY", key or self.key)
        self.monkeypatch.setenv("WEBHOOKS_SECRET_KEY", self.webhooks_key)

    async def parley(self, urls: Urls, *arguments: str) -> Result:
        """Run a command in a thread, because it has an event loop of its own."""
        self.use(urls)
        return await asyncio.to_thread(CliRunner().invoke, build(), list(arguments))


@pytest.fixture
def server(backends: SharedBackends, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DatabaseServer:
    monkeypatch.chdir(tmp_path)
    return DatabaseServer(backends, monkeypatch, secrets.token_hex(32))


@pytest.fixture(scope="module")
async def made(backends: SharedBackends, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Urls, str]:
    """An archive of filled databases, their URLs and the key."""
    folder = tmp_path_factory.mktemp("archive")
    with pytest.MonkeyPatch.context() as monkeypatch:
        server = DatabaseServer(backends, monkeypatch, secrets.token_hex(32))
        urls = await server.databases("filled")
        done = await server.parley(urls, "backup", str(folder / "all.backup"))
        assert done.exit_code == 0, done.stderr
    return folder / "all.backup", urls, server.key


async def query(url: str, statement: str) -> Any:
    """Execute a statement in a database; return the first value of its rows."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def contents(urls: Urls) -> dict[str, tuple[int, str]]:
    """Return the number of rows and a digest of each table."""
    found = {}
    for service, url in urls.items():
        connection = await asyncpg.connect(url)
        for row in await connection.fetch(TABLES):
            query = f"SELECT count(*), md5(string_agg(t::text, ' ' ORDER BY t::text)) FROM {row['relname']} AS t"
            found[f"{service}.{row['relname']}"] = tuple(await connection.fetchrow(query))
        await connection.close()
    return {name: value for name, value in found.items() if not name.endswith(".schema_migrations")}
