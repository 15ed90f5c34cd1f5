"""The servers behind the services: Postgres, Valkey and, unless a provider is configured, the local model."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from parley.process.tasks import background
from parley_cli.model.process import LocalModel
from parley_cli.settings import LocalSettings
from parley_cli.stack.console import Console
from parley_embedded.postgres.databases import Databases
from parley_embedded.postgres.server import EmbeddedPostgres
from parley_embedded.secret_files import kept_secret, write_private
from parley_embedded.server import EmbeddedServer
from parley_embedded.valkey.server import EmbeddedValkey

LOG_CHECK = 60.0
"""Seconds between two looks at the size of the servers' logs."""
WITH_DATABASE = ("auth", "chat", "history")


@dataclass(frozen=True, slots=True)
class Backends:
    """What the services connect to. ``model`` is None when the user's own provider is configured."""

    database_urls: dict[str, str]
    redis_url: str
    model: LocalModel | None


@contextlib.asynccontextmanager
async def open_backends(settings: LocalSettings, folder: Path, console: Console) -> AsyncIterator[Backends]:
    """Start what the settings do not name; EmbeddedError in one line when something cannot start."""
    async with contextlib.AsyncExitStack() as stack:
        model = None if has_provider(settings) else LocalModel(folder / "model")
        postgres = None if settings.database_url else EmbeddedPostgres(folder / "postgres")
        valkey = None if settings.redis_url else EmbeddedValkey(folder / "valkey")
        servers = {"Model": model, "Valkey": valkey, "PostgreSQL": postgres}
        for server in servers.values():
            if server is not None:
                stack.push_async_callback(server.stop)
        async with asyncio.TaskGroup() as group:
            for name, server in servers.items():
                if server is not None:
                    group.create_task(_start(name, server, console))
        admin = postgres.databases if postgres else Databases(_secret(settings.database_url))
        urls = await _databases(admin, folder)
        redis_url = valkey.url if valkey else _secret(settings.redis_url)
        running = [server for server in servers.values() if server is not None]
        await stack.enter_async_context(background("log limit", lambda: _limit_logs(running), service="local"))
        yield Backends(urls, redis_url, model)


def has_provider(settings: LocalSettings) -> bool:
    """Say whether the user configured a provider of their own."""
    return bool(settings.openai_api_key or settings.openai_base_url)


async def _start(name: str, server: EmbeddedServer, console: Console) -> None:
    with console.step(name):
        await server.start()


async def _limit_logs(servers: Sequence[EmbeddedServer]) -> None:
    while True:
        await asyncio.sleep(LOG_CHECK)
        for server in servers:
            server.child.trim_log()


async def _databases(admin: Databases, folder: Path) -> dict[str, str]:
    """One database and one role a service: a query on another's database fails here too."""
    urls = {}
    for service in WITH_DATABASE:
        name = f"parley_{service}"
        password = kept_secret(folder / f"{name}-password")
        await admin.create_role_and_database(name, password)
        urls[service] = admin.url(name, name, password)
    return urls


def internal_secrets(folder: Path) -> dict[str, str]:
    """Return the secret of each service's own client at auth, by service."""
    return {service: kept_secret(folder / f"internal-{service}-secret") for service in ("gateway", "chat", "history")}


def encryption_key(folder: Path) -> str:
    """Return the key that protects auth's signing keys at rest: 32 random bytes, in hex."""
    path = folder / "auth-secret-key"
    if not path.exists():
        write_private(path, secrets.token_hex(32))
    return path.read_text().strip()


def _secret(value: SecretStr | None) -> str:
    assert value is not None
    return value.get_secret_value()
