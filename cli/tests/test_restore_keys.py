"""Keys of a restore into a new data folder: the same for auth and webhooks."""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from parley.config.settings import SettingsError
from parley_cli.backup import operations, secret_key
from parley_cli.backup.access import DatabaseAccess
from parley_cli.backup.errors import BackupError
from parley_cli.backup.manifest import DatabasePart, Manifest, TablePart
from parley_cli.backup.operations import RestoreOptions
from parley_cli.settings import LocalSettings
from parley_cli.stack.database_access import open_to_replace

KEY, OTHER = secrets.token_hex(32), secrets.token_hex(32)
MOMENT = datetime(2026, 11, 22, tzinfo=UTC)


def archive_of(webhooks: int) -> Any:
    """Return an archive with so many webhooks, whose keys are not in it."""
    table = TablePart(name="webhooks", columns=["id"], rows=webhooks, size=0, sha256="0" * 64)
    part = DatabasePart(
        service="webhooks", server_version="15.0", snapshot_at=MOMENT, migrations=[], tables=[table], sequences=[]
    )
    keys = [secret_key.describe(name, KEY, None) for name in secret_key.NAMES.values()]
    manifest = Manifest(format=1, product_version="1", created_at=MOMENT, databases=[part], secret_keys=keys)
    return SimpleNamespace(manifest=manifest)


@pytest.fixture
def restore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Restore into a new folder without loading rows, and return the key that is in it afterwards."""

    async def nothing(*_: object) -> None:
        pass

    async def load(*_: object, before_changes: Callable[[], None], **__: object) -> None:
        assert not file.exists(), "a refused restore would leave a key"
        before_changes()

    monkeypatch.setattr(operations, "load", load)
    monkeypatch.setattr("auth.wiring.delete_signing_keys", nothing)
    file = tmp_path / "auth-secret-key"

    async def restored(archive: Any, key: str | None, *, new_signing_keys: bool = False) -> str:
        keys = dict.fromkeys(("auth", "webhooks"), key) if key else {}
        access = DatabaseAccess(dict.fromkeys(("auth", "webhooks"), ""), keys, file)
        await operations.restore(access, archive, RestoreOptions(new_signing_keys=new_signing_keys))
        return file.read_text().strip()

    return restored


async def test_the_key_file_of_the_former_folder_becomes_that_of_the_new_one(restore: Any) -> None:
    assert await restore(archive_of(webhooks=3), KEY) == KEY


async def test_a_new_folder_without_the_key_says_how_to_give_it(restore: Any) -> None:
    with pytest.raises(BackupError, match=r"Give the file auth-secret-key .* with --secret-key-file, or use --new-"):
        await restore(archive_of(webhooks=0), None)


@pytest.mark.parametrize("webhooks", [0, 1])
async def test_new_signing_keys_are_enough_unless_there_are_webhooks(restore: Any, webhooks: int) -> None:
    if webhooks:
        with pytest.raises(BackupError, match="leave webhooks out"):
            await restore(archive_of(webhooks), OTHER, new_signing_keys=True)
    else:
        assert await restore(archive_of(webhooks), None, new_signing_keys=True)


async def test_a_key_file_is_refused_where_the_keys_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_DATABASE_URL", "postgresql://localhost/auth")
    with pytest.raises(SettingsError, match=r"--secret-key-file: .* AUTH_SECRET_KEY and WEBHOOKS_SECRET_KEY"):
        async with open_to_replace(LocalSettings(), ["auth"], KEY):
            pass
