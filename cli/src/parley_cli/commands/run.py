"""`parley run`: all services and their servers on this machine."""

import typer

from parley_cli.commands.shared import AdminPortOption, DataDirOption, PortOption, load_settings, require_package


def run(port: PortOption = 8000, admin_port: AdminPortOption = 9000, data_dir: DataDirOption = None) -> None:
    """Run everything on this machine until Ctrl-C."""
    require_package("parley_embedded", "parley-cli[local]", "parley run")
    from parley_cli.stack import launcher
    from parley_cli.stack.ports import StackPorts

    raise typer.Exit(launcher.run(load_settings(data_dir), StackPorts(port, admin_port)))
