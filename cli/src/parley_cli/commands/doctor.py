"""`parley doctor`: checks of this machine before `parley run`."""

import typer

from parley_cli.commands.shared import AdminPortOption, DataDirOption, PortOption, load_settings, require_package


def doctor(port: PortOption = None, admin_port: AdminPortOption = None, data_dir: DataDirOption = None) -> None:
    """Check what `parley run` needs, without starting or changing anything."""
    require_package("parley_embedded", "parley-cli[local]", "parley doctor")
    from parley_cli.stack import preflight
    from parley_cli.stack.ports import StackPorts

    settings = load_settings(data_dir, port=port, admin_port=admin_port)
    results = list(preflight.check_all(settings, StackPorts.from_settings(settings)))
    for result in results:
        status = "ok  " if result.problem is None else "FAIL"
        typer.echo(f"{status}  {result.name:<12} {result.problem or ''}".rstrip())
    raise typer.Exit(1 if any(result.problem for result in results) else 0)
