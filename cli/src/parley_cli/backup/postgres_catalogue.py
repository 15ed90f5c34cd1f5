"""Tables, columns and sequences of a database, from PostgreSQL's catalogue."""

from collections.abc import Iterable
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, TypeAlias

import asyncpg

from parley_cli.backup.errors import BackupError
from parley_cli.backup.manifest import AppliedMigration, SequenceValue

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

MIGRATIONS_TABLE = "schema_migrations"
CONNECT_TIMEOUT = 10.0
_SETTINGS = {
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "lock_timeout": "30000",
    # Text of values must not depend on the server's configuration.
    "timezone": "UTC",
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
}
# Generated columns are left out, because COPY does not write them.
_TABLES = """
SELECT c.relname AS name, c.relkind::text AS kind, array(
    SELECT a.attname::text FROM pg_attribute AS a
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum
) AS columns
FROM pg_class AS c
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'f', 'm')
ORDER BY c.relname"""
_REFERENCES = """
SELECT conrelid::regclass::text AS referring, confrelid::regclass::text AS referred FROM pg_constraint
WHERE contype = 'f' AND connamespace = current_schema()::regnamespace AND conrelid <> confrelid"""
_SEQUENCES = """
SELECT sequencename::text AS name FROM pg_sequences WHERE schemaname = current_schema() ORDER BY sequencename"""
_MIGRATIONS = "SELECT source, number, digest FROM schema_migrations ORDER BY source, number"


@dataclass(frozen=True, slots=True)
class Table:
    """A table and the columns that are copied."""

    name: str
    columns: list[str]


async def connect(dsn: str, *, application: str) -> Connection:
    """Connect without timeouts of statements; a lost server is noticed by the kernel."""
    from parley.storage.postgres_internals import detect_loss

    settings = {**_SETTINGS, "application_name": application}
    connection: Connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT, server_settings=settings)
    detect_loss(connection)
    return connection


async def applied_migrations(connection: Connection) -> list[AppliedMigration]:
    """Return the applied migrations; none in an empty database."""
    if await connection.fetchval("SELECT to_regclass($1)", MIGRATIONS_TABLE) is None:
        return []
    return [AppliedMigration(**dict(row)) for row in await connection.fetch(_MIGRATIONS)]


async def tables(connection: Connection) -> list[Table]:
    """Return the tables except that of the migrations, each after the tables that it refers to."""
    rows = await connection.fetch(_TABLES)
    other = [row["name"] for row in rows if row["kind"] != "r"]
    if other:
        raise BackupError(f"{other[0]} is not an ordinary table, and cannot be copied.")
    columns = {row["name"]: list(row["columns"]) for row in rows if row["name"] != MIGRATIONS_TABLE}
    references = await connection.fetch(_REFERENCES)
    return [Table(name, columns[name]) for name in _ordered(columns, references)]


def _ordered(names: Iterable[str], references: Iterable[Any]) -> list[str]:
    sorter: TopologicalSorter[str] = TopologicalSorter({name: set() for name in names})
    for row in references:
        sorter.add(row["referring"], row["referred"])
    try:
        return list(sorter.static_order())
    except CycleError:
        raise BackupError("Tables refer to each other in a circle, and cannot be copied.") from None


async def sequences(connection: Connection) -> list[SequenceValue]:
    """Return the state of each sequence."""
    names = [row["name"] for row in await connection.fetch(_SEQUENCES)]
    found = []
    for name in names:
        row = await connection.fetchrow(f"SELECT last_value, is_called FROM {quoted(name)}")  # noqa: S608 - quoted
        assert row is not None
        found.append(SequenceValue(name=name, last_value=row["last_value"], is_called=row["is_called"]))
    return found


async def tables_with_rows(connection: Connection, found: Iterable[Table]) -> list[str]:
    """Return the names of the tables that have rows."""
    return [
        table.name
        for table in found
        if await connection.fetchval(f"SELECT EXISTS (SELECT FROM {quoted(table.name)})")  # noqa: S608 - quoted
    ]


def quoted(name: str) -> str:
    """Return an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
