"""`parley run`: all services and their servers on this machine."""

from typing import Annotated

import typer

from parley.config.settings import SettingsError
from parley.config.sources import configured_variables
from parley_cli.commands.shared import AdminPortOption, DataDirOption, PortOption, fail, load_settings, require_package
from parley_cli.stack.refused_settings import require_obeyed

NewSigningKeysOption = Annotated[
    bool,
    typer.Option(
        "--new-signing-keys", help="Replace a lost secret key and the signing keys. Webhooks need new secrets."
    ),
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
    try:
        require_obeyed(settings, configured_variables())
    except SettingsError as error:
        fail("parley", str(error), status=2)
    raise typer.Exit(launcher.run(settings, new_signing_keys=new_signing_keys))
