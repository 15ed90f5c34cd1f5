"""`parley run`: all services and their servers on this machine."""

from typing import Annotated

import typer

from parley_cli.commands.shared import AdminPortOption, DataDirOption, PortOption, load_settings, require_package

NewSigningKeysOption = Annotated[
    bool,
    typer.Option("--new-signing-keys", help="Replace a lost secret key and the signing keys. Everyone logs in again."),
]


def run(
    port: PortOption = None,
    admin_port: AdminPortOption = None,
    data_dir: DataDirOption = None,
    new_signing_keys: NewSigningKeysOption = False,
) -> None:
    """Run everything on this machine until Ctrl-C."""
    require_package("parley_embedded", "parley-cli[local]", "parley run")
    from parley_cli.stack import launcher

    settings = load_settings(data_dir, port=port, admin_port=admin_port)
    raise typer.Exit(launcher.run(settings, new_signing_keys=new_signing_keys))
