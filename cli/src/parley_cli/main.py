"""The `parley` command."""

import typer

from parley_cli.commands import admin, auth, backup, doctor, events, restore, run, verify


def build() -> typer.Typer:
    """Return the command line with all subcommands."""
    cli = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        help="Parley, a self-hosted chat backend.",
    )
    cli.command()(run.run)
    cli.command()(doctor.doctor)
    cli.command()(verify.verify)
    cli.command()(backup.backup)
    cli.command()(restore.restore)
    cli.add_typer(admin.commands, name="admin")
    cli.add_typer(events.commands, name="events")
    cli.add_typer(auth.commands, name="auth", hidden=True)
    return cli


def app() -> None:
    """Run the command line."""
    build()()
