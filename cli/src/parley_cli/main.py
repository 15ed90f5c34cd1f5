"""The `parley` command."""

from typing import Annotated

import typer

from parley import __version__
from parley_cli.commands import admin, auth, backup, doctor, events, restore, run, verify


def build() -> typer.Typer:
    """Return the command line with all subcommands."""
    cli = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        help="Parley, a self-hosted chat backend.",
    )
    cli.callback()(_options)
    cli.command()(run.run)
    cli.command()(doctor.doctor)
    cli.command()(verify.verify)
    cli.command()(backup.backup)
    cli.command()(restore.restore)
    cli.add_typer(admin.commands, name="admin")
    cli.add_typer(events.commands, name="events")
    cli.add_typer(auth.commands, name="auth", hidden=True)
    return cli


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"parley {__version__}")
        raise typer.Exit


def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Parley, a self-hosted chat backend."""


def app() -> None:
    """Run the command line."""
    build()()
