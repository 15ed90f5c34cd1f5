"""Copy of the databases into an archive, each from one snapshot, while they are in use."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from parley import __version__, times
from parley_cli.backup import postgres_catalogue
from parley_cli.backup.archive_writer import ArchiveWriter
from parley_cli.backup.errors import BackupError
from parley_cli.backup.manifest import FORMAT, AppliedMigration, DatabasePart, Manifest, SecretKeyPart
from parley_cli.backup.postgres_catalogue import Connection, Table, quoted
from parley_cli.backup.services import in_order

APPLICATION = "parley-backup"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An open transaction that sees one state of a database."""

    service: str
    connection: Connection
    taken_at: datetime
    tables: list[Table]
    migrations: list[AppliedMigration]


@contextlib.asynccontextmanager
async def open_snapshots(dsns: Mapping[str, str]) -> AsyncIterator[list[Snapshot]]:
    """Open a snapshot of each database, by service; raise BackupError, and the errors of asyncpg and the network."""
    async with contextlib.AsyncExitStack() as stack:
        yield [await _open_snapshot(stack, service, dsns[service]) for service in in_order(list(dsns))]


async def dump(archive: ArchiveWriter, snapshots: Sequence[Snapshot], keys: list[SecretKeyPart]) -> Manifest:
    """Write the databases, and return the manifest with which the archive can be finished.

    Raises BackupError, and the errors of asyncpg and the network.
    """
    return Manifest(
        format=FORMAT,
        product_version=__version__,
        created_at=times.now(),
        databases=[await _write(archive, snapshot) for snapshot in snapshots],
        secret_keys=keys,
    )


async def _open_snapshot(stack: contextlib.AsyncExitStack, service: str, dsn: str) -> Snapshot:
    connection = await postgres_catalogue.connect(dsn, application=APPLICATION)
    stack.push_async_callback(connection.close, timeout=5)
    await stack.enter_async_context(connection.transaction(isolation="repeatable_read", readonly=True))
    taken_at = await connection.fetchval("SELECT now()")  # the first statement takes the snapshot
    migrations = await postgres_catalogue.applied_migrations(connection)
    if not migrations:
        raise BackupError(
            f"The database of {service} has no tables. Check its URL. If that service has never run, name the others "
            "with --service."
        )
    if service not in {migration.source for migration in migrations}:
        raise BackupError(f"The database of {service} belongs to another service. Check its URL.")
    tables = await postgres_catalogue.tables(connection)
    # Without this lock, a migration could change a table before its rows are read.
    await connection.execute(f"LOCK TABLE {', '.join(quoted(table.name) for table in tables)} IN ACCESS SHARE MODE")
    return Snapshot(service, connection, taken_at, tables, migrations)


async def _write(archive: ArchiveWriter, snapshot: Snapshot) -> DatabasePart:
    connection, parts = snapshot.connection, []
    for table in snapshot.tables:
        with archive.open_table(snapshot.service, table.name) as part:
            status = await connection.copy_from_table(table.name, columns=table.columns, output=part.write)
        if status != f"COPY {part.rows}":
            raise BackupError(f"{snapshot.service}.{table.name}: {part.rows} rows arrived, not those of {status}.")
        parts.append(part.part(table.name, table.columns))
        await asyncio.sleep(0)
    return DatabasePart(
        service=snapshot.service,
        server_version=await connection.fetchval("SHOW server_version"),
        snapshot_at=snapshot.taken_at,
        migrations=snapshot.migrations,
        tables=parts,
        # Snapshots do not cover sequences. They are read last, so that no row has a higher number.
        sequences=await postgres_catalogue.sequences(connection),
    )
