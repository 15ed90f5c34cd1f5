"""`parley restore`: the databases of an archive, put into empty ones."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from parley_cli.backup.access import KEY_OPTION
from parley_cli.backup.errors import BackupError
from parley_cli.commands.backup import render
from parley_cli.commands.backup_options import (
    PassphraseOption,
    ServiceOption,
    choose_services,
    read_option_file,
    read_passphrase,
    report_failures,
)
from parley_cli.commands.shared import DataDirOption, load_settings, require_package
from parley_cli.settings import LocalSettings

if TYPE_CHECKING:
    from parley_cli.backup.archive_reader import ArchiveReader
    from parley_cli.backup.operations import RestoreOptions

COMMAND = "parley restore"
DONE = "Restored: {services}. Start Parley, then run: parley verify --repair{where}"

ArchiveArgument = Annotated[Path, typer.Argument(metavar="ARCHIVE", help="File that parley backup wrote.")]
CheckOption = Annotated[bool, typer.Option("--check", help="Only read and verify the archive.")]
ReplaceOption = Annotated[bool, typer.Option("--replace", help="Delete everything that the databases contain.")]
SecretKeyOption = Annotated[
    Path | None,
    typer.Option(KEY_OPTION, help="The file auth-secret-key of the data folder of the backup, for a new one."),
]
NewSigningKeysOption = Annotated[
    bool,
    typer.Option("--new-signing-keys", help="Restore without the signing keys and AUTH_SECRET_KEY of the archive."),
]
PrintKeyOption = Annotated[
    bool,
    typer.Option("--print-secret-key", help="Only print the secret keys of the archive, which need the passphrase."),
]


def restore(
    archive: ArchiveArgument,
    check: CheckOption = False,
    replace: ReplaceOption = False,
    service: ServiceOption = None,
    passphrase_file: PassphraseOption = None,
    secret_key_file: SecretKeyOption = None,
    new_signing_keys: NewSigningKeysOption = False,
    print_secret_key: PrintKeyOption = False,
    data_dir: DataDirOption = None,
) -> None:
    """Restore the databases of all services from an archive of this version or an older one.

    The services must not run. The archive is verified before anything is changed. Start Parley afterwards, and compare
    with parley verify --repair.

    Exit status: 0 restored (or verified, with --check); 1 refused or failed; 2 wrong usage or settings.
    """
    wanted = choose_services(COMMAND, service)
    passphrase = read_passphrase(COMMAND, passphrase_file)
    secret_key = read_option_file(COMMAND, KEY_OPTION, secret_key_file)
    local = load_settings(data_dir)
    with report_failures(COMMAND):
        from parley_cli.backup import operations
        from parley_cli.backup.archive_reader import read_archive

        with read_archive(archive) as reader:
            if print_secret_key:
                for name, key in operations.decrypt_keys(reader, passphrase).items():
                    typer.echo(f"{name}={key}")
                return
            reader.verify()
            # An older version had fewer services. Each database that was asked for by name must be there.
            services = [name for name in wanted if reader.manifest.database(name)]
            if service and services != wanted:
                missing = next(name for name in wanted if name not in services)
                raise BackupError(f"{archive} has no database of {missing}.")
            if not check:
                for name in services:
                    require_package(name, f"parley-{name}", COMMAND)
                options = operations.RestoreOptions(replace, new_signing_keys, passphrase)
                asyncio.run(_restore(local, reader, services, options, secret_key))
            typer.echo(render(archive, reader.manifest))
    left = [name for name in wanted if name not in services]
    if left:
        typer.echo(f"Not in the archive, and left as it is: {', '.join(left)}")
    where = "" if data_dir is None else f" --data-dir {data_dir}"
    typer.echo("Nothing was changed." if check else DONE.format(services=", ".join(services), where=where))


async def _restore(
    local: LocalSettings,
    archive: "ArchiveReader",
    services: list[str],
    options: "RestoreOptions",
    secret_key: str | None,
) -> None:
    from parley_cli.backup import operations
    from parley_cli.stack.database_access import open_to_replace

    async with open_to_replace(local, services, secret_key) as access:
        await operations.restore(access, archive, options)
