"""Options, passphrases and failures that `parley backup` and `parley restore` share."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from parley.config.settings import SettingsError
from parley_cli.backup.errors import BackupError, reason_of
from parley_cli.backup.services import SERVICES, in_order
from parley_cli.commands.shared import fail

FAILED, MISUSED = 1, 2
STANDARD_INPUT = Path("-")

ServiceOption = Annotated[
    list[str] | None,
    typer.Option("--service", help="Only the database of this service, repeatable. Default: all."),
]
PassphraseOption = Annotated[
    Path | None,
    typer.Option("--passphrase-file", help="File with the passphrase for AUTH_SECRET_KEY in the archive; - reads it."),
]


def choose_services(command: str, names: list[str] | None) -> list[str]:
    """Return the chosen services in the order of their snapshots; exit with status 2 for an unknown one."""
    unknown = set(names or ()) - set(SERVICES)
    if unknown:
        fail(command, f"--service: choose from {', '.join(sorted(SERVICES))}, not {min(unknown)}.", status=MISUSED)
    return in_order(names or SERVICES)


def read_passphrase(command: str, path: Path | None) -> str | None:
    """Return the passphrase in a file; exit with status 2 when it cannot be read or is too short."""
    from parley_cli.backup.secret_key import MIN_PASSPHRASE

    text = read_option_file(command, "--passphrase-file", path)
    if text is not None and len(text) < MIN_PASSPHRASE:
        fail(command, f"--passphrase-file: needs at least {MIN_PASSPHRASE} characters.", status=MISUSED)
    return text


def read_option_file(command: str, option: str, path: Path | None) -> str | None:
    """Return the text of the file that an option names, ``-`` for standard input; exit with status 2 if it fails."""
    if path is None:
        return None
    try:
        return (sys.stdin.readline() if path == STANDARD_INPUT else path.read_text(encoding="utf-8")).strip()
    except (OSError, UnicodeDecodeError):
        fail(command, f"{option}: cannot read {path}.", status=MISUSED)


@contextlib.contextmanager
def report_failures(command: str) -> Iterator[None]:
    """Print one line and exit: 2 for settings, 1 for every other failure."""
    import asyncpg

    try:
        yield
    except SettingsError as error:
        fail(command, str(error), status=MISUSED)
    except (BackupError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        fail(command, f"{reason_of(error)}.", status=FAILED)
