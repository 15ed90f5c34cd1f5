"""Servers behind the services: Postgres, Valkey and, without a configured provider, the local model."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from parley.process.tasks import background
from parley_cli.local_model.process import LocalModel
from parley_cli.settings import LocalSettings
from parley_cli.stack.terminal import Terminal
from parley_embedded.base_server import EmbeddedServer, make_private
from parley_embedded.postgres.databases import Databases
from parley_embedded.postgres.server import EmbeddedPostgres
from parley_embedded.secret_files import read_or_create_secret
from parley_embedded.valkey.server import EmbeddedValkey

LOG_CHECK_INTERVAL = 60.0
SERVICES_WITH_DATABASE = ("auth", "chat", "history", "webhooks")
SERVICES_WITH_CLIENT = ("gateway", "chat", "history")


@dataclass(frozen=True, slots=True)
class StackBackends:
    """URLs of the running servers. ``model`` is None when the user configured a provider."""

    database_urls: dict[str, str]
    redis_url: str
    model: LocalModel | None


@contextlib.asynccontextmanager
async def open_backends(settings: LocalSettings, folder: Path, terminal: Terminal) -> AsyncIterator[StackBackends]:
    """Start each server for which the settings have no URL; raise EmbeddedError when a server does not start."""
    async with contextlib.AsyncExitStack() as stack:
        model = None if settings.has_provider() else LocalModel(folder / "model")
        postgres = None if settings.database_url else EmbeddedPostgres(folder / "postgres")
        valkey = None if settings.redis_url else EmbeddedValkey(folder / "valkey")
        servers = {"Model": model, "Valkey": valkey, "PostgreSQL": postgres}
        for server in servers.values():
            if server is not None:
                stack.push_async_callback(server.stop)
        async with asyncio.TaskGroup() as group:
            for name, server in servers.items():
                if server is not None:
                    group.create_task(_start(name, server, terminal))
        admin = postgres.databases if postgres else Databases(_secret(settings.database_url))
        urls = await _create_databases(admin, folder)
        redis_url = valkey.url if valkey else _secret(settings.redis_url)
        running = [server for server in servers.values() if server is not None]
        await stack.enter_async_context(background("log limit", lambda: _limit_logs(running), service="local"))
        yield StackBackends(urls, redis_url, model)


@contextlib.asynccontextmanager
async def open_account_database(settings: LocalSettings, folder: Path) -> AsyncIterator[tuple[str, str]]:
    """Start the database of a stopped stack. Yields the URLs of auth's database and of Redis, which is not started.

    Auth copies new revocations to Redis when it starts, so that changes without Redis are not lost.
    """
    valkey = None if settings.redis_url else EmbeddedValkey(folder / "valkey")
    if valkey is not None:
        make_private(valkey.data_dir)  # the last run may have used another Redis
    redis_url = valkey.url if valkey else _secret(settings.redis_url)
    async with _open_postgres(settings, folder) as admin:
        yield await _create_database(admin, folder, "auth"), redis_url


@contextlib.asynccontextmanager
async def open_databases(settings: LocalSettings, folder: Path) -> AsyncIterator[dict[str, str]]:
    """Start Postgres of a stopped stack and create missing databases. Yields the DSN of each service's database."""
    async with _open_postgres(settings, folder) as admin:
        yield await _create_databases(admin, folder)


@contextlib.asynccontextmanager
async def _open_postgres(settings: LocalSettings, folder: Path) -> AsyncIterator[Databases]:
    if settings.database_url:
        yield Databases(_secret(settings.database_url))
        return
    async with EmbeddedPostgres(folder / "postgres") as server:
        yield server.databases


def internal_secrets(folder: Path) -> dict[str, str]:
    """Return the client secret of each service that calls auth, by service."""
    return {service: read_or_create_secret(folder / f"internal-{service}-secret") for service in SERVICES_WITH_CLIENT}


async def _start(name: str, server: EmbeddedServer, terminal: Terminal) -> None:
    with terminal.step(name):
        await server.start()


async def _limit_logs(servers: Sequence[EmbeddedServer]) -> None:
    while True:
        await asyncio.sleep(LOG_CHECK_INTERVAL)
        for server in servers:
            server.child.trim_log()


async def _create_databases(admin: Databases, folder: Path) -> dict[str, str]:
    # One role per database, so that a query on another service's database fails here as it does in production.
    return {service: await _create_database(admin, folder, service) for service in SERVICES_WITH_DATABASE}


async def _create_database(admin: Databases, folder: Path, service: str) -> str:
    name = f"parley_{service}"
    password = read_or_create_secret(folder / f"{name}-password")
    await admin.create_role_and_database(name, password)
    return admin.url(name, name, password)


def _secret(value: SecretStr | None) -> str:
    assert value is not None
    return value.get_secret_value()
