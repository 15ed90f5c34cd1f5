"""`parley auth`: the former name of `parley admin`, kept for scripts."""

import typer

from parley_cli.commands import admin

commands = typer.Typer(no_args_is_help=True, help="The former name of `parley admin`.")
commands.callback()(admin.admin)
for _command in (admin.create_admin, admin.reset_password, admin.rotate_keys):
    commands.command()(_command)
