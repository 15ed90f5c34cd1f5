"""`parley restore` that fails when some databases are restored, or none."""

from pathlib import Path

import pytest

from cli_testing.backup_databases import ROWS, DatabaseServer, Urls, contents, made, query, server

__all__ = ["made", "server"]

pytestmark = pytest.mark.integration
FAILURE = """
CREATE FUNCTION fail_at_commit() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION 'no space is left'; END $$"""
FAIL_AT_COMMIT = """
CREATE CONSTRAINT TRIGGER fail_at_commit AFTER UPDATE ON comparisons DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION fail_at_commit()"""
"""The statements that bring restored rows up to date change this table of chat."""


async def test_a_restore_that_fails_between_two_databases_names_both_and_can_be_repeated(
    server: DatabaseServer, made: tuple[Path, Urls, str]
) -> None:
    archive, _, server.key = made
    urls = await server.databases("migrated")
    for statement in (FAILURE, FAIL_AT_COMMIT):
        await query(urls["chat"], statement)
    failed = await server.parley(urls, "restore", str(archive))
    assert failed.exit_code == 1
    assert failed.stderr == (
        "parley restore: PostgreSQL reports: no space is left. The restore is incomplete. Restored: webhooks, history. "
        "Unfinished: chat, auth. Run the same command again with --replace: it restores all of them.\n"
    )
    rows = {name: number for name, (number, _) in (await contents(urls)).items()}
    assert (rows["history.messages"], rows["chat.turns"], rows["auth.users"]) == (ROWS, 0, 0)
    await query(urls["chat"], "DROP TRIGGER fail_at_commit ON comparisons")
    done = await server.parley(urls, "restore", str(archive), "--replace")
    assert done.exit_code == 0, done.stderr
    assert all(number for number, _ in (await contents(urls)).values())


async def test_a_restore_that_fails_before_the_first_database_says_that_none_is_restored(
    server: DatabaseServer, made: tuple[Path, Urls, str]
) -> None:
    archive, _, server.key = made
    urls = await server.databases("migrated")
    await query(urls["auth"], "ALTER TABLE users ADD CONSTRAINT no_space_is_left CHECK (false)")
    failed = await server.parley(urls, "restore", str(archive))
    assert (failed.exit_code, failed.stderr.count("\n")) == (1, 1)
    assert failed.stderr.endswith(". No database was restored.\n")
    await query(urls["auth"], "ALTER TABLE users DROP CONSTRAINT no_space_is_left")
    done = await server.parley(urls, "restore", str(archive))
    assert done.exit_code == 0, done.stderr


async def test_a_restore_into_empty_databases_that_fails_does_not_speak_of_dropped_tables(
    server: DatabaseServer, made: tuple[Path, Urls, str]
) -> None:
    archive, _, server.key = made
    urls = await server.databases("empty")
    name = await query(urls["auth"], "SELECT current_database()")
    await query(urls["auth"], f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    failed = await server.parley(urls, "restore", str(archive))
    assert failed.exit_code == 1
    assert failed.stderr.endswith("read-only transaction. No database was restored.\n")
