"""Data of the first release under this code: restored from an archive that its schema made, migrated and used."""

import asyncio
import secrets
from collections.abc import Collection
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest
from typer.testing import CliRunner

from auth.audit.model import OPERATOR
from auth.settings import AuthSettings
from auth.wiring import open_offline
from chat.events.verification import verify
from chat.history import StoredTurn
from chat.storage.postgres_turns import PostgresTurnStore
from chat.storage.postgres_verification import PostgresVerificationSource
from history.database import Database
from history.turns.postgres import PostgresTurnLookup
from parley.config.settings import load
from parley.storage import migrations
from parley.storage.postgres import open_pool
from parley_cli.backup.services import SERVICES, migration_sources
from parley_cli.backup.settings import url_variable
from parley_cli.main import build
from parley_testing.backends.shared_servers import SharedBackends

pytestmark = pytest.mark.integration
ARCHIVE = Path(__file__).parent / "data" / "parley-0.1.0.backup"
PASSPHRASE = "previous release"
PASSWORD = "correct horse battery staple"


async def without_tables(_: str) -> None:
    """Leave the database empty."""


class StoredTurns:
    """History's table of turns, in place of its API."""

    def __init__(self, lookup: PostgresTurnLookup) -> None:
        self._lookup = lookup

    async def digests(self, turn_ids: Collection[UUID]) -> dict[UUID, StoredTurn]:
        found = await self._lookup.digests(turn_ids)
        return {turn_id: StoredTurn(turn.status, turn.sha256) for turn_id, turn in found.items()}


@pytest.fixture
async def urls(backends: SharedBackends, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The databases of the archive, restored by this code."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "passphrase").write_text(PASSPHRASE)
    arguments = [str(ARCHIVE), "--passphrase-file", str(tmp_path / "passphrase")]
    key = CliRunner().invoke(build(), ["restore", *arguments, "--print-secret-key"])
    assert key.exit_code == 0, key.stderr
    monkeypatch.setenv("AUTH_SECRET_KEY", key.stdout.strip().removeprefix("AUTH_SECRET_KEY="))
    monkeypatch.setenv("WEBHOOKS_SECRET_KEY", secrets.token_hex(32))
    monkeypatch.setenv("REDIS_URL", await backends.redis_url())
    found = {service: await backends.fresh_database(without_tables, "empty") for service in SERVICES}
    for service, url in found.items():
        monkeypatch.setenv(url_variable(service), url)
    done = await asyncio.to_thread(CliRunner().invoke, build(), ["restore", *arguments])
    assert done.exit_code == 0, done.stderr
    return found


async def test_data_of_the_first_release_works_under_this_code(urls: dict[str, str]) -> None:
    for service in ("auth", "chat", "history"):
        assert await migrations.migrate(urls[service], *migration_sources(service)) == 0
    async with open_pool(urls["chat"], size=2) as chat, open_pool(urls["history"], size=2) as history:
        source = PostgresVerificationSource(PostgresTurnStore(chat, lambda: None))
        report = await verify(source, StoredTurns(PostgresTurnLookup(Database(history))), settle=0)  # type: ignore[arg-type]
    assert report.findings == []
    assert report.compared == 9
    async with open_offline(load(AuthSettings)) as auth:
        assert await auth.grants._login.authenticate("ada", PASSWORD, OPERATOR) is not None
        assert await auth.grants._login.authenticate("gone", PASSWORD, OPERATOR) is None
    connection = await asyncpg.connect(urls["history"])
    texts = [row["content"] for row in await connection.fetch("SELECT content FROM messages WHERE role = 'user'")]
    await connection.close()
    assert any("世界" in text for text in texts)
