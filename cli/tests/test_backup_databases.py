"""`parley backup` and `parley restore` with real databases of every service."""

import secrets
from pathlib import Path

import asyncpg
import pytest
from typer.testing import CliRunner

from cli_testing.backup_databases import ROWS, WEBHOOKS_KEY, DatabaseServer, Urls, contents, made, query, server
from parley.storage import migrations
from parley_cli.backup.services import SERVICES, migration_sources
from parley_cli.main import build
from parley_testing.backends.shared_servers import SharedBackends

__all__ = ["made", "server"]

pytestmark = pytest.mark.integration
CHANGED_BY_A_RESTORE = {
    *("auth.outbox", "chat.outbox", "history.outbox", "webhooks.outbox", "chat.turns", "chat.comparisons"),
    *("auth.erasures", "auth.erasure_services", "auth.revocations"),
}


async def test_every_row_of_every_table_comes_back(server: DatabaseServer, made: tuple[Path, Urls, str]) -> None:
    archive, before, server.key = made
    after = await server.databases("empty")
    done = await server.parley(after, "restore", str(archive))
    assert done.exit_code == 0, done.stderr
    old, new = await contents(before), await contents(after)
    assert {name for name in old if old[name] != new.get(name)} <= CHANGED_BY_A_RESTORE
    assert {name: rows for name, (rows, _) in old.items()} == {name: rows for name, (rows, _) in new.items()}
    assert min(rows for rows, _ in new.values()) > 0
    assert await query(after["auth"], "SELECT count(*) FROM revocations WHERE pushed") == 0
    assert await query(after["chat"], "SELECT outbox_append(gen_random_uuid(), 'n', 's', 'new', '{}')") == 1


async def test_databases_with_rows_are_refused_unless_they_are_replaced(
    server: DatabaseServer, made: tuple[Path, Urls, str]
) -> None:
    archive, _, server.key = made
    urls = await server.databases("filled")
    await query(urls["history"], "DELETE FROM messages")
    before = await contents(urls)
    refused = await server.parley(urls, "restore", str(archive))
    assert (refused.exit_code, refused.stderr.count("\n")) == (1, 1)
    assert "is not empty: " in refused.stderr
    assert await contents(urls) == before
    done = await server.parley(urls, "restore", str(archive), "--replace")
    assert done.exit_code == 0, done.stderr
    assert (await contents(urls))["history.messages"][0] == ROWS


async def test_an_archive_of_an_older_version_is_restored_and_migrated(
    server: DatabaseServer, tmp_path: Path, backends: SharedBackends
) -> None:
    async def old_chat(dsn: str) -> None:
        await migrations.migrate(dsn, *migration_sources("chat"), wanted=lambda m: m.source != "chat" or m.number < 4)
        await query(dsn, "INSERT INTO comparisons VALUES ('deletions', '2026-01-01 12:00Z')")

    old = {"chat": await backends.fresh_database(old_chat, "backup of an old chat")}
    archive = str(tmp_path / "old.backup")
    done = await server.parley(old, "backup", archive, "--service", "chat")
    assert done.exit_code == 0, done.stderr
    new = {"chat": (await server.databases("migrated"))["chat"]}
    done = await server.parley(new, "restore", archive, "--service", "chat")
    assert done.exit_code == 0, done.stderr
    # An hour earlier: the deletions before the backup are compared again.
    assert await query(new["chat"], "SELECT compared_until = '2026-01-01 11:00Z' FROM comparisons")
    assert await query(new["chat"], "SELECT count(continues) FROM turns") == 0


@pytest.mark.parametrize("service", SERVICES)
async def test_the_tables_of_another_version_are_replaced_by_those_of_the_archive(
    server: DatabaseServer, tmp_path: Path, backends: SharedBackends, service: str
) -> None:
    newest = migrations.read(service)[-1].number

    async def old_version(dsn: str) -> None:
        await migrations.migrate(
            dsn, *migration_sources(service), wanted=lambda m: m.source != service or m.number < newest
        )

    old = {service: await backends.fresh_database(old_version, f"backup of an old {service}")}
    archive = str(tmp_path / "old.backup")
    done = await server.parley(old, "backup", archive, "--service", service)
    assert done.exit_code == 0, done.stderr
    new = {service: (await server.databases("filled"))[service]}
    done = await server.parley(new, "restore", archive, "--service", service, "--replace")
    assert done.exit_code == 0, done.stderr
    found = await query(new[service], f"SELECT max(number) FROM schema_migrations WHERE source = '{service}'")
    assert found == newest


async def test_an_archive_of_a_newer_version_is_refused(server: DatabaseServer, tmp_path: Path) -> None:
    urls = await server.databases("migrated")
    await query(urls["chat"], "INSERT INTO schema_migrations VALUES ('chat', 9999, 'x')")
    archive = str(tmp_path / "new.backup")
    assert (await server.parley(urls, "backup", archive)).exit_code == 0
    refused = await server.parley(await server.databases("empty"), "restore", archive)
    assert (refused.exit_code, refused.stderr.count("\n")) == (1, 1)
    assert "whose migration 9999 of chat this version does not have" in refused.stderr


async def test_a_restore_with_another_key_or_beside_a_running_service_changes_nothing(
    server: DatabaseServer, made: tuple[Path, Urls, str]
) -> None:
    archive, _, key = made
    urls = await server.databases("empty")
    refused = await server.parley(urls, "restore", str(archive))
    assert refused.exit_code == 1
    assert "AUTH_SECRET_KEY is another key" in refused.stderr
    server.key, server.webhooks_key = key, secrets.token_hex(32)
    refused = await server.parley(urls, "restore", str(archive))
    assert "WEBHOOKS_SECRET_KEY is another key" in refused.stderr
    server.webhooks_key = WEBHOOKS_KEY
    service = await asyncpg.connect(urls["chat"], server_settings={"application_name": "parley-chat"})
    refused = await server.parley(urls, "restore", str(archive))
    await service.close()
    assert refused.exit_code == 1
    assert "The database of chat is in use by 1 sessions of Parley" in refused.stderr
    assert await contents(urls) == {}


async def test_tables_of_another_program_are_never_dropped(
    server: DatabaseServer, made: tuple[Path, Urls, str]
) -> None:
    archive, _, server.key = made
    urls = await server.databases("empty")
    await query(urls["chat"], "CREATE TABLE invoices (id integer)")
    refused = await server.parley(urls, "restore", str(archive), "--replace")
    assert "The database of chat has tables that are not Parley's" in refused.stderr
    assert await query(urls["chat"], "SELECT count(*) FROM invoices") == 0


async def test_a_backup_of_a_database_without_tables_fails_and_leaves_no_file(
    server: DatabaseServer, tmp_path: Path
) -> None:
    result = await server.parley(await server.databases("empty"), "backup", str(tmp_path / "x.backup"))
    assert (result.exit_code, result.stderr.count("\n"), list(tmp_path.iterdir())) == (1, 1, [])


async def test_old_backups_of_a_folder_are_deleted_after_a_new_one(server: DatabaseServer, tmp_path: Path) -> None:
    for name in ("2026-01-01T000000Z", "2026-01-02T000000Z", "before-the-upgrade"):
        (tmp_path / f"parley-{name}.backup").touch()
    urls = await server.databases("migrated")
    done = await server.parley(urls, "backup", str(tmp_path), "--keep", "2")
    assert done.exit_code == 0, done.stderr
    assert len(list(tmp_path.glob("parley-2*.backup"))) == 2
    assert not (tmp_path / "parley-2026-01-01T000000Z.backup").exists()
    assert (tmp_path / "parley-before-the-upgrade.backup").exists()


async def test_old_backups_with_other_databases_stay(server: DatabaseServer, tmp_path: Path) -> None:
    urls = await server.databases("migrated")
    whole, of_chat = (tmp_path / f"parley-299{year}-01-01T000000Z.backup" for year in (8, 9))
    assert (await server.parley(urls, "backup", str(whole))).exit_code == 0
    assert (await server.parley(urls, "backup", str(of_chat), "--service", "chat")).exit_code == 0
    done = await server.parley(urls, "backup", str(tmp_path), "--keep", "1", "--service", "chat")
    assert done.exit_code == 0, done.stderr
    left = sorted(tmp_path.iterdir())
    assert (len(left), whole in left, of_chat in left) == (2, True, False)


async def test_a_check_of_a_database_that_is_not_in_the_archive_fails(server: DatabaseServer, tmp_path: Path) -> None:
    urls = await server.databases("migrated")
    archive = str(tmp_path / "chat.backup")
    assert (await server.parley(urls, "backup", archive, "--service", "chat")).exit_code == 0
    refused = await server.parley(urls, "restore", archive, "--check", "--service", "auth")
    assert (refused.exit_code, refused.stderr) == (1, f"parley restore: {archive} has no database of auth.\n")
    assert (await server.parley(urls, "restore", archive, "--check")).exit_code == 0


def test_a_missing_database_url_exits_with_status_2(server: DatabaseServer) -> None:
    server.monkeypatch.setenv("CHAT_DATABASE_URL", "postgresql://nobody:nothing@127.0.0.1:1/chat")
    result = CliRunner().invoke(build(), ["backup", "all.backup"])
    assert result.exit_code == 2
    assert "AUTH_DATABASE_URL: is required but not set" in result.stderr


def test_an_unreachable_database_is_one_line_and_status_1(server: DatabaseServer) -> None:
    server.use(dict.fromkeys(SERVICES, "postgresql://nobody:nothing@127.0.0.1:1/chat"))
    result = CliRunner().invoke(build(), ["backup", "all.backup"])
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.startswith("parley backup: A database cannot be reached: ")
