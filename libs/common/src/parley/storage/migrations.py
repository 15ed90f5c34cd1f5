"""Database migrations: numbered ``.sql`` files, applied once and in order under an advisory lock.

An applied file must never change. Each file is applied in a transaction, except those that build indexes without
blocking writes: ``index_migrations`` describes them.
"""

import asyncio
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files

import asyncpg

from parley.storage.index_migrations import IndexStatement, apply_index_statement, read_index_statements

LOCK_KEY = 0x7061726C6579
"""Advisory lock key of migrations: "parley" in ASCII."""
STATEMENT_TIMEOUT = 60.0
"""Seconds of a statement in a transaction."""
LOCK_TIMEOUT = 600.0
"""Seconds to wait for another process that applies migrations."""
LOCK_INTERVAL = 0.2
"""Seconds between two attempts to get the lock."""
_NAME = re.compile(r"^(\d{4})_\w+\.sql$")
_ANALYZE = re.compile(r"^ANALYZE (\w+)[^;]*;$", re.MULTILINE)
_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    source text NOT NULL, number integer NOT NULL, digest text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (source, number)
)"""


class MigrationError(Exception):
    """An applied migration was changed, or two migrations have the same number."""


@dataclass(frozen=True, slots=True)
class MigrationSource:
    """A package with a ``migrations`` folder, and the stable name that databases record for its files."""

    name: str
    package: str


@dataclass(frozen=True, slots=True)
class Migration:
    """One migration file."""

    source: str
    number: int
    sql: str
    index_statements: list[IndexStatement]
    """The statements of a file that builds indexes outside a transaction, else none."""

    @property
    def digest(self) -> str:
        """Return the SHA-256 of the file, which detects changes to an applied migration."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def read(source: MigrationSource | str) -> list[Migration]:
    """Return the migrations of a source in order; a string is both the package and its stable name."""
    if isinstance(source, str):
        source = MigrationSource(source, source)
    found = []
    for entry in files(source.package).joinpath("migrations").iterdir():
        match = _NAME.match(entry.name)
        if match:
            found.append(_read_file(source.name, int(match[1]), entry.read_text(encoding="utf-8")))
    found.sort(key=lambda m: m.number)
    if len({m.number for m in found}) != len(found):
        raise MigrationError(f"{source.name}: two migrations have the same number")
    return found


def _read_file(source: str, number: int, sql: str) -> Migration:
    try:
        return Migration(source, number, sql, read_index_statements(sql))
    except ValueError as error:
        raise MigrationError(f"{source}: migration {number}: {error}") from None


async def migrate(
    dsn: str, *sources: MigrationSource | str, wanted: Callable[[Migration], bool] = lambda _: True
) -> int:
    """Apply the pending migrations of the sources, of those that are ``wanted``, and return their number.

    A database without pending migrations may be read-only.
    """
    connection = await asyncpg.connect(dsn, timeout=10, command_timeout=STATEMENT_TIMEOUT)
    try:
        pending = [migration for source in sources for migration in read(source) if wanted(migration)]
        if await _all_applied(connection, pending):
            return 0
        await _lock(connection)
        await connection.execute(_TABLE)
        return sum([await _apply(connection, migration) for migration in pending])
    finally:
        await connection.close(timeout=5)


async def _lock(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Get the lock. A statement that waits for it would be a transaction, for whose end a concurrent index waits."""
    async with asyncio.timeout(LOCK_TIMEOUT):
        while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK_KEY):
            await asyncio.sleep(LOCK_INTERVAL)


async def _all_applied(connection: "asyncpg.Connection[asyncpg.Record]", wanted: Sequence[Migration]) -> bool:
    if await connection.fetchval("SELECT to_regclass('schema_migrations')") is None:
        return False
    rows = await connection.fetch("SELECT source, number, digest FROM schema_migrations")
    return {(m.source, m.number, m.digest) for m in wanted} <= {tuple(row) for row in rows}


async def _apply(connection: "asyncpg.Connection[asyncpg.Record]", migration: Migration) -> bool:
    known = await connection.fetchval(
        "SELECT digest FROM schema_migrations WHERE source = $1 AND number = $2", migration.source, migration.number
    )
    if known == migration.digest:
        return False
    if known is not None:
        raise MigrationError(f"{migration.source}: migration {migration.number} was changed after it was applied")
    for statement in migration.index_statements:
        await apply_index_statement(connection, statement)
    async with connection.transaction():
        if not migration.index_statements:
            await _execute(connection, migration.sql)
        await connection.execute(
            "INSERT INTO schema_migrations (source, number, digest) VALUES ($1, $2, $3)",
            migration.source,
            migration.number,
            migration.digest,
        )
    return True


async def _execute(connection: "asyncpg.Connection[asyncpg.Record]", sql: str) -> None:
    """Execute a migration, and last its ``ANALYZE`` statements on tables that have rows.

    Postgres plans for ten pages of a table that was never analyzed, but for none of one that was found empty.
    """
    await connection.execute(_ANALYZE.sub("", sql))
    for statement in _ANALYZE.finditer(sql):
        if await connection.fetchval(f"SELECT EXISTS (SELECT FROM {statement[1]})"):  # noqa: S608 - from a migration
            await connection.execute(statement[0])
