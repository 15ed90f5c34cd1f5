"""Migrations: applied once and in order, also by concurrent replicas; applied files must not change."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from parley.messaging import outbox
from parley.storage.index_migrations import HEADER
from parley.storage.migrations import MigrationError, migrate, read
from parley_testing import eventually
from parley_testing.backends.shared_servers import SharedBackends, UnavailableError

Write = Callable[[str, str], None]
PACKAGE = "migrated_package"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Return a function that writes a migration file into a temporary package."""
    folder = tmp_path / PACKAGE / "migrations"
    folder.mkdir(parents=True)
    (tmp_path / PACKAGE / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))

    def written(name: str, sql: str) -> None:
        (folder / name).write_text(sql)

    yield written
    sys.modules.pop(PACKAGE, None)


@pytest.fixture
async def dsn(backends: SharedBackends) -> AsyncIterator[str]:
    async def nothing(_dsn: str) -> None:
        pass

    try:
        made = await backends.fresh_database(nothing, "empty")
    except UnavailableError as reason:
        pytest.skip(str(reason))
    yield made
    await backends.drop(made)


async def values(dsn: str, query: str) -> list[object]:
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        return [row[0] for row in await connection.fetch(query)]
    finally:
        await connection.close()


def test_migrations_are_read_in_numeric_order_and_other_files_are_ignored(write: Write) -> None:
    for name in ("0010_c.sql", "0002_b.sql", "0001_a.sql", "notes.txt", "1_x.sql"):
        write(name, "SELECT 1")
    assert [migration.number for migration in read(PACKAGE)] == [1, 2, 10]


def test_a_duplicate_number_is_rejected(write: Write) -> None:
    write("0001_a.sql", "SELECT 1")
    write("0001_b.sql", "SELECT 1")
    with pytest.raises(MigrationError, match="same number"):
        read(PACKAGE)


@pytest.mark.integration
async def test_each_migration_is_applied_once(write: Write, dsn: str) -> None:
    write("0001_a.sql", "CREATE TABLE t (n int); INSERT INTO t VALUES (1)")
    assert await migrate(dsn, PACKAGE) == 1
    write("0002_b.sql", "INSERT INTO t VALUES (2)")
    assert await migrate(dsn, PACKAGE) == 1
    assert await migrate(dsn, PACKAGE) == 0
    assert await values(dsn, "SELECT n FROM t ORDER BY n") == [1, 2]


@pytest.mark.integration
async def test_a_migrated_database_may_be_read_only(write: Write, dsn: str) -> None:
    write("0001_a.sql", "CREATE TABLE t (n int)")
    await migrate(dsn, PACKAGE)
    read_only = f"{dsn}{'&' if '?' in dsn else '?'}default_transaction_read_only=on"
    assert await migrate(read_only, PACKAGE) == 0
    write("0002_b.sql", "INSERT INTO t VALUES (1)")
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await migrate(read_only, PACKAGE)


@pytest.mark.integration
async def test_concurrent_replicas_apply_each_migration_once(write: Write, dsn: str) -> None:
    write("0001_a.sql", "CREATE TABLE t (n int); INSERT INTO t VALUES (1)")
    async with asyncio.timeout(30):
        applied = await asyncio.gather(*(migrate(dsn, PACKAGE) for _ in range(8)))
    assert sorted(applied) == [0] * 7 + [1]
    assert await values(dsn, "SELECT n FROM t") == [1]


@pytest.mark.integration
async def test_a_failing_migration_is_rolled_back(write: Write, dsn: str) -> None:
    write("0001_a.sql", "CREATE TABLE t (n int)")
    write("0002_b.sql", "INSERT INTO t VALUES (1); SELECT 1 / 0")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(dsn, PACKAGE)
    assert await values(dsn, "SELECT n FROM t") == []
    write("0002_b.sql", "INSERT INTO t VALUES (2)")
    assert await migrate(dsn, PACKAGE) == 1


@pytest.mark.integration
async def test_statistics_are_made_of_tables_with_rows_alone(write: Write, dsn: str) -> None:
    analyze = "ANALYZE empty;\nANALYZE filled (id);\n"
    tables = "CREATE TABLE empty (id int);\nCREATE TABLE filled (id int);\nINSERT INTO filled VALUES (1);\n"
    write("0001_a.sql", tables + analyze)
    await migrate(dsn, PACKAGE)
    known = "SELECT relname FROM pg_class WHERE relname IN ('empty', 'filled') AND reltuples >= 0"
    assert await values(dsn, known) == ["filled"]


async def test_a_changed_migration_is_rejected_after_it_was_applied(write: Write, dsn: str) -> None:
    write("0001_a.sql", "CREATE TABLE t (n int)")
    await migrate(dsn, PACKAGE)
    write("0001_a.sql", "CREATE TABLE t (n bigint)")
    with pytest.raises(MigrationError, match="migration 1 was changed"):
        await migrate(dsn, PACKAGE)


@pytest.mark.integration
async def test_packages_have_separate_numbers(write: Write, dsn: str) -> None:
    write("0001_a.sql", "SELECT 1")
    assert await migrate(dsn, outbox.MIGRATIONS, PACKAGE) == len(read(outbox.MIGRATIONS)) + 1


BUILD = f"{HEADER}\nCREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS t_n ON t (n);\n"


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS a ON t (n);",
        f"{HEADER}\nCREATE INDEX a ON t (n);",
        f"{HEADER}\nCREATE INDEX CONCURRENTLY a ON t (n);",
        f"{HEADER}\nDROP INDEX CONCURRENTLY a;",
        f"{HEADER}\nUPDATE t SET n = 1;",
        f"{HEADER}\n-- nothing\n",
    ],
)
def test_a_file_outside_a_transaction_has_only_statements_that_can_be_repeated(write: Write, sql: str) -> None:
    write("0001_a.sql", sql)
    with pytest.raises(MigrationError, match="migration 1"):
        read(PACKAGE)


@pytest.mark.integration
async def test_an_index_is_built_while_others_write(write: Write, dsn: str) -> None:
    write("0001_a.sql", "CREATE TABLE t (n int); CREATE TABLE other (n int)")
    await migrate(dsn, PACKAGE)
    write("0002_b.sql", BUILD)
    earlier, writer = [await asyncpg.connect(dsn, timeout=5) for _ in range(2)]
    async with asyncio.timeout(30):
        async with earlier.transaction():
            await earlier.execute("INSERT INTO t VALUES (1)")
            # The build waits for this transaction, and each replica for the build.
            building = [asyncio.create_task(migrate(dsn, PACKAGE)) for _ in range(3)]
            progress = "SELECT phase FROM pg_stat_progress_create_index"
            await eventually(lambda: values(dsn, progress))
            await writer.execute("INSERT INTO t VALUES (2)")
            assert not any(task.done() for task in building)
        assert sorted(await asyncio.gather(*building)) == [0, 0, 1]
    assert await values(dsn, "SELECT n FROM t ORDER BY n") == [1, 2]
    for connection in (earlier, writer):
        await connection.close()


@pytest.mark.integration
async def test_an_index_that_an_interruption_left_invalid_is_built_again(write: Write, dsn: str) -> None:
    write("0001_a.sql", "CREATE TABLE t (n int); INSERT INTO t VALUES (1), (1)")
    write("0002_b.sql", BUILD)
    valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('t_n')"
    with pytest.raises(asyncpg.UniqueViolationError):
        await migrate(dsn, PACKAGE)
    assert await values(dsn, valid) == [False]
    await values(dsn, "DELETE FROM t RETURNING n")
    assert await migrate(dsn, PACKAGE) == 1
    assert await values(dsn, valid) == [True]


@pytest.mark.integration
async def test_an_index_that_an_operator_has_built_is_left_as_it_is(write: Write, dsn: str) -> None:
    write("0001_a.sql", "CREATE TABLE t (n int); CREATE UNIQUE INDEX t_n ON t (n)")
    write("0002_b.sql", BUILD)
    write("0003_c.sql", f"{HEADER}\nDROP INDEX CONCURRENTLY IF EXISTS absent;")
    oid = "SELECT to_regclass('t_n')::oid"
    await migrate(dsn, PACKAGE)
    before = await values(dsn, oid)
    assert await migrate(dsn, PACKAGE) == 0
    assert await values(dsn, oid) == before
