"""Checks of a database before a restore, and its preparation: empty tables of the archive's version."""

from dataclasses import dataclass

from parley.storage import migrations
from parley.storage.migrations import Migration
from parley_cli.backup import postgres_catalogue
from parley_cli.backup.errors import BackupError
from parley_cli.backup.manifest import AppliedMigration, DatabasePart
from parley_cli.backup.postgres_catalogue import Connection, quoted
from parley_cli.backup.services import migration_sources

APPLICATION = "parley-restore"
# Only those of Parley: a monitoring session may stay.
_SESSIONS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
  AND application_name LIKE 'parley%' AND application_name NOT IN ('parley-restore', 'parley-backup')"""
_FUNCTIONS = """
SELECT p.oid::regprocedure::text AS name, p.prokind::text AS kind FROM pg_proc AS p
WHERE p.pronamespace = current_schema()::regnamespace
  AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = p.oid AND classid = 'pg_proc'::regclass AND deptype = 'e')"""

# Without the types of tables and arrays, which go with these.
_TYPES = """
SELECT t.oid::regtype::text AS name FROM pg_type AS t LEFT JOIN pg_class AS c ON c.oid = t.typrelid
WHERE t.typnamespace = current_schema()::regnamespace AND (t.typtype IN ('e', 'd') OR c.relkind = 'c')
  AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = t.oid AND classid = 'pg_type'::regclass AND deptype = 'e')"""


@dataclass(frozen=True, slots=True)
class RestoreTarget:
    """A database into which a part of an archive is restored."""

    part: DatabasePart
    dsn: str
    connection: Connection

    @property
    def service(self) -> str:
        """The service that owns the database."""
        return self.part.service

    def failure(self, text: str) -> BackupError:
        """Return an error that names the database."""
        return BackupError(f"The database of {self.service} {text}")


def require_known_migrations(part: DatabasePart, product_version: str) -> None:
    """Raise BackupError unless this version can make the schema of the archive."""
    known = {_key(migration) for source in migration_sources(part.service) for migration in migrations.read(source)}
    for migration in part.migrations:
        if (migration.source, migration.number, migration.digest) not in known:
            raise BackupError(
                f"The archive was made by version {product_version}, whose migration {migration.number} of "
                f"{migration.source} this version does not have. Restore it with that version or a newer one."
            )


async def require_ready(target: RestoreTarget, *, replace: bool) -> None:
    """Raise BackupError when the database is in use, is not Parley's, or has rows that may not be replaced."""
    sessions = await target.connection.fetchval(_SESSIONS)
    if sessions:
        raise target.failure(f"is in use by {sessions} sessions of Parley. Stop the services first.")
    tables = await postgres_catalogue.tables(target.connection)
    applied = await postgres_catalogue.applied_migrations(target.connection)
    if tables and target.service not in {migration.source for migration in applied}:
        raise target.failure("has tables that are not Parley's. Check its URL.")
    filled = await postgres_catalogue.tables_with_rows(target.connection, tables)
    if filled and not replace:
        raise target.failure(
            f"is not empty: {', '.join(filled[:5])}{' …' if len(filled) > 5 else ''}. "  # noqa: PLR2004 - a short list
            "Restore into an empty one, or delete everything in it with --replace."
        )


async def has_schema(target: RestoreTarget) -> bool:
    """Return whether the database has the tables of the archive's version: the restore replaces their rows."""
    return _keys(await postgres_catalogue.applied_migrations(target.connection)) == _keys(target.part.migrations)


async def make_schema(target: RestoreTarget) -> None:
    """Drop all tables with their rows, and make those of the archive's version."""
    wanted = _keys(target.part.migrations)
    await _drop_everything(target.connection)
    await migrations.migrate(
        target.dsn, *migration_sources(target.service), wanted=lambda migration: _key(migration) in wanted
    )


async def _drop_everything(connection: Connection) -> None:
    tables = [table.name for table in await postgres_catalogue.tables(connection)]
    async with connection.transaction():
        for name in (*tables, postgres_catalogue.MIGRATIONS_TABLE):
            await connection.execute(f"DROP TABLE IF EXISTS {quoted(name)} CASCADE")
        for row in await connection.fetch(_TYPES):
            await connection.execute(f"DROP TYPE IF EXISTS {row['name']} CASCADE")
        for row in await connection.fetch(_FUNCTIONS):
            kind = "AGGREGATE" if row["kind"] == "a" else "ROUTINE"
            await connection.execute(f"DROP {kind} IF EXISTS {row['name']} CASCADE")


async def require_schema(target: RestoreTarget) -> None:
    """Raise BackupError unless the schema is exactly the archive's: another process may have migrated it since."""
    if _keys(await postgres_catalogue.applied_migrations(target.connection)) != _keys(target.part.migrations):
        raise target.failure("was migrated by another process meanwhile. Stop the services, then restore again.")
    expected = {table.name: table.columns for table in target.part.tables}
    if {table.name: table.columns for table in await postgres_catalogue.tables(target.connection)} != expected:
        raise target.failure("does not have the same tables as the archive. Its rows were not changed.")


def _key(migration: Migration | AppliedMigration) -> tuple[str, int, str]:
    return migration.source, migration.number, migration.digest


def _keys(applied: list[AppliedMigration]) -> set[tuple[str, int, str]]:
    return {_key(migration) for migration in applied}
