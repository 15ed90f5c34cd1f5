"""`parley backup`: an archive of all databases, made while they are in use."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from parley_cli.backup.errors import BackupError
from parley_cli.commands.backup_options import (
    MISUSED,
    PassphraseOption,
    ServiceOption,
    choose_services,
    read_passphrase,
    report_failures,
)
from parley_cli.commands.shared import DataDirOption, fail, load_settings, require_package

if TYPE_CHECKING:
    from parley_cli.backup.manifest import Manifest

COMMAND = "parley backup"
PATTERN = "parley-????-??-??T??????Z.backup"
"""Names of files in a folder. Others, such as `parley-before-upgrade.backup`, are the operator's and stay."""

OutputArgument = Annotated[
    Path, typer.Argument(metavar="OUTPUT", help="File to write, or a folder that exists: then the name has the time.")
]
KeepOption = Annotated[
    int | None,
    typer.Option(min=1, help="In a folder: delete all but this number of backups, after the new one is complete."),
]


def backup(
    output: OutputArgument,
    service: ServiceOption = None,
    passphrase_file: PassphraseOption = None,
    keep: KeepOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Write the databases of all services into one file, whether Parley runs or not.

    The archive has messages and password hashes: keep it as safe as the databases. It has AUTH_SECRET_KEY only under a
    passphrase; without one, keep that key elsewhere.

    Exit status: 0 the archive is complete and was read again; 1 it failed; 2 wrong usage or settings.
    """
    services = choose_services(COMMAND, service)
    if "auth" in services:
        require_package("auth", "parley-auth", COMMAND)
    passphrase = read_passphrase(COMMAND, passphrase_file)
    if keep is not None and not output.is_dir():
        fail(COMMAND, f"--keep: needs a folder as OUTPUT, and {output} is none. Create it first.", status=MISUSED)
    local = load_settings(data_dir)
    with report_failures(COMMAND):
        from parley_cli.backup import operations
        from parley_cli.stack.database_access import open_to_read

        path = _new_path(output) if output.is_dir() else output

        async def run() -> "Manifest":
            async with open_to_read(local, services) as access:
                return await operations.back_up(access, path, passphrase)

        typer.echo(render(path, asyncio.run(run())))
        if keep is not None:
            _delete_old(output, keep, path)


def _new_path(folder: Path) -> Path:
    from parley import times
    from parley_cli.backup.archive_writer import remove_abandoned

    remove_abandoned(folder, PATTERN)
    return folder / f"parley-{times.now():%Y-%m-%dT%H%M%SZ}.backup"


def _delete_old(folder: Path, keep: int, new: Path) -> None:
    """Delete all but ``keep`` backups, of which the new one is one. Those with a database that it lacks stay."""
    services = _services_in(new)
    older = [path for path in sorted(folder.glob(PATTERN)) if path != new and _services_in(path) <= services]
    for old in older[: max(0, len(older) + 1 - keep)]:
        try:
            old.unlink(missing_ok=True)
        except OSError as error:
            raise BackupError(f"{new} is complete, but {old} cannot be deleted: {error.strerror or error}.") from error


def _services_in(path: Path) -> set[str]:
    """Return the services whose databases an archive has; none for a damaged one, which every other one replaces."""
    from parley_cli.backup.archive_reader import read_archive

    try:
        with read_archive(path) as archive:
            return {part.service for part in archive.manifest.databases}
    except BackupError:
        return set()


def render(path: Path, content: "Manifest") -> str:
    """Return a line for each database and key, then one for the file."""
    lines = [
        f"{part.service:<8} {part.rows} rows of {len(part.tables)} tables at {part.snapshot_at:%Y-%m-%d %H:%M:%S} UTC"
        for part in content.databases
    ]
    for key in content.secret_keys:
        where = "in the archive, under the passphrase" if key.encrypted else "NOT in the archive, keep it elsewhere"
        lines.append(f"{key.name}, fingerprint {key.fingerprint}: {where}")
    lines.append(f"{path}: complete and verified, {path.stat().st_size} bytes, Parley {content.product_version}")
    return "\n".join(lines)
