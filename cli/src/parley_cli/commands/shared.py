"""Options, settings and error output that several subcommands share."""

import importlib.util
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from parley.config.settings import SettingsError, load
from parley_cli.settings import MAX_FIRST_PORT, LocalSettings

PortOption = Annotated[
    int | None,
    typer.Option(min=1, max=MAX_FIRST_PORT, help="Port of the gateway; the other services use the next four."),
]
AdminPortOption = Annotated[
    int | None,
    typer.Option(min=1, max=MAX_FIRST_PORT, help="Admin port of the gateway; the other services use the next four."),
]
DataDirOption = Annotated[Path | None, typer.Option(help="Data folder. Default: .parley")]


def load_settings(
    data_dir: Path | None = None, *, port: int | None = None, admin_port: int | None = None
) -> LocalSettings:
    """Return the launcher's settings. Command-line options win over variables.

    On an invalid setting, print one line for each and exit with status 2.
    """
    options: dict[str, Any] = {"data_dir": data_dir, "port": port, "admin_port": admin_port}
    overrides = {name: value for name, value in options.items() if value is not None}
    try:
        return load(LocalSettings, **overrides)
    except SettingsError as error:
        fail("parley", str(error), status=2)


def require_package(module: str, distribution: str, command: str) -> None:
    """Exit with status 2 when a package that the subcommand needs is not installed."""
    if importlib.util.find_spec(module) is None:
        fail(command, f"The package {distribution} is not installed. Install it, or run this where it is.", status=2)


def fail(command: str, message: str, *, status: int) -> NoReturn:
    """Print each line of the message with the command as its prefix, then exit."""
    for line in message.splitlines():
        typer.echo(f"{command}: {line}", err=True)
    raise typer.Exit(status)
