"""Restore of databases from a verified archive."""

import contextlib
from collections.abc import Callable, Mapping
from importlib.resources import files

from parley.storage import migrations
from parley_cli.backup import postgres_catalogue, target
from parley_cli.backup.archive_reader import ArchiveReader
from parley_cli.backup.errors import BackupError
from parley_cli.backup.postgres_catalogue import quoted
from parley_cli.backup.progress import RestoreProgress
from parley_cli.backup.services import AFTER_RESTORE, migration_sources
from parley_cli.backup.target import APPLICATION, RestoreTarget


async def load(
    archive: ArchiveReader,
    dsns: Mapping[str, str],
    progress: RestoreProgress,
    *,
    replace: bool,
    before_changes: Callable[[], None],
) -> None:
    """Restore the databases of the services, and migrate them to this version.

    All checks come first, then ``before_changes``, and all rows are loaded before the first database is committed.
    Raises BackupError, and the errors of asyncpg and the network.
    """
    async with contextlib.AsyncExitStack() as stack:
        targets = [await _open_target(stack, archive, service, dsns[service]) for service in progress.services]
        for each in targets:
            await target.require_ready(each, replace=replace)
        before_changes()
        for each in targets:
            if not await target.has_schema(each):
                if await postgres_catalogue.tables(each.connection):
                    progress.dropped.append(each.service)
                await target.make_schema(each)
        transactions = {each.service: each.connection.transaction() for each in targets}
        for each in targets:
            await transactions[each.service].start()
            await _load(archive, each)
        # After a failed commit, the other connections are closed, which rolls their transactions back.
        progress.committing = True
        for service, transaction in transactions.items():
            await transaction.commit()
            progress.restored.append(service)
    for each in targets:
        await migrations.migrate(each.dsn, *migration_sources(each.service))


async def _open_target(
    stack: contextlib.AsyncExitStack, archive: ArchiveReader, service: str, dsn: str
) -> RestoreTarget:
    part = archive.manifest.database(service)
    if part is None:
        raise BackupError(f"{archive.path} has no database of {service}.")
    target.require_known_migrations(part, archive.manifest.product_version)
    connection = await postgres_catalogue.connect(dsn, application=APPLICATION)
    stack.push_async_callback(connection.close, timeout=5)
    return RestoreTarget(part, dsn, connection)


async def _load(archive: ArchiveReader, into: RestoreTarget) -> None:
    """Replace the rows of a database in its open transaction."""
    connection, part = into.connection, into.part
    names = ", ".join(quoted(table.name) for table in part.tables)
    await connection.execute(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE")
    await target.require_schema(into)
    for table in part.tables:
        # Rows are restored as they were, so that nothing is derived from them again.
        await connection.execute(f"ALTER TABLE {quoted(table.name)} DISABLE TRIGGER USER")
    await connection.execute(f"TRUNCATE {names}")
    for table in part.tables:
        status = await connection.copy_to_table(
            table.name, columns=table.columns, source=archive.rows(part, table), timeout=None
        )
        if status != f"COPY {table.rows}":
            raise into.failure(f"stored other rows of {table.name} than the archive has: {status}.")
    for sequence in part.sequences:
        await connection.execute(
            "SELECT setval($1::regclass, $2, $3)", quoted(sequence.name), sequence.last_value, sequence.is_called
        )
    for table in part.tables:
        await connection.execute(f"ALTER TABLE {quoted(table.name)} ENABLE TRIGGER USER")
    await _catch_up(into)
    await connection.execute("ANALYZE")


async def _catch_up(into: RestoreTarget) -> None:
    """Run the statements of the packages for restored rows: recent events are published and confirmed again."""
    snapshot_at = into.part.snapshot_at.isoformat()
    await into.connection.execute("SELECT set_config('parley.snapshot_at', $1, true)", snapshot_at)
    for source in migration_sources(into.service):
        script = files(source.package).joinpath(AFTER_RESTORE)
        if script.is_file():
            await into.connection.execute(script.read_text(encoding="utf-8"))
