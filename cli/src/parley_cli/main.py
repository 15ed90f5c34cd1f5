"""The `parley` command. Services add their own through the entry points `parley.commands`.

Such an entry point is a function that takes the arguments and returns the exit status. When a stack runs in the data
folder, the function finds that stack's settings in its environment.
"""

import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Annotated, Any

import typer

from parley.config.settings import SettingsError, load
from parley_cli.settings import LocalSettings
from parley_cli.stack import connections, preflight
from parley_cli.stack.ports import Ports

COMMANDS = "parley.commands"
HELP = {
    "auth": "Administrators, password resets, key rotation.",
    "verify": "Compare what was accepted with what is stored.",
}
PortOption = Annotated[int, typer.Option(help="The gateway's port; auth, chat and history take the next three.")]
AdminPortOption = Annotated[int, typer.Option(help="The gateway's admin port; the others take the next three.")]
FolderOption = Annotated[Path | None, typer.Option(help="Where data is kept (.parley).")]


def build() -> typer.Typer:
    """Return the command with everything that is installed."""
    cli = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        help="Parley, a self-hosted chat backend.",
    )
    cli.command()(run)
    cli.command()(doctor)
    for entry in sorted(entry_points(group=COMMANDS), key=lambda e: e.name):
        _add(cli, entry)
    return cli


def _add(cli: typer.Typer, entry: EntryPoint) -> None:
    @cli.command(
        entry.name,
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        help=HELP.get(entry.name, f"See: parley {entry.name} --help"),
    )
    def command(context: typer.Context) -> None:
        connections.use(_settings(None).data_dir)
        sys.exit(entry.load()(context.args))

    del command


def app() -> None:
    """Run the command line."""
    build()()


def run(port: PortOption = 8000, admin_port: AdminPortOption = 9000, data_dir: FolderOption = None) -> None:
    """Run everything on this machine until Ctrl-C."""
    from parley_cli.stack.launcher import run as run_stack

    sys.exit(run_stack(_settings(data_dir), Ports(port, admin_port)))


def doctor(port: PortOption = 8000, admin_port: AdminPortOption = 9000, data_dir: FolderOption = None) -> None:
    """Check what `parley run` needs, without starting or changing anything."""
    findings = list(preflight.examine(_settings(data_dir), Ports(port, admin_port)))
    for finding in findings:
        typer.echo(
            f"{'ok  ' if finding.problem is None else 'FAIL'}  {finding.name:<12} {finding.problem or ''}".rstrip()
        )
    sys.exit(1 if any(finding.problem for finding in findings) else 0)


def _settings(data_dir: Path | None) -> LocalSettings:
    given: dict[str, Any] = {} if data_dir is None else {"data_dir": data_dir}
    try:
        return load(LocalSettings, **given)
    except SettingsError as error:
        for line in str(error).splitlines():
            typer.echo(f"parley: {line}", err=True)
        sys.exit(2)
