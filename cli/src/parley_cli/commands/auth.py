"""`parley auth`: administrators, password resets and signing keys."""

import asyncio
import getpass
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from parley.config.settings import SettingsError, load
from parley.errors import ParleyError
from parley.storage.postgres_errors import is_unavailable
from parley.web.problems import FieldValueError
from parley_cli.commands.shared import fail, load_settings, require_package
from parley_cli.stack import connections

if TYPE_CHECKING:
    from auth.administration.operator import OperatorService

commands = typer.Typer(no_args_is_help=True, help="Manage administrators, password resets and signing keys.")

UsernameArgument = Annotated[str, typer.Argument(help="Username of the administrator.")]
EmailOption = Annotated[str | None, typer.Option(help="E-mail address of a new account.")]
PasswordStdinOption = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input. Default: generate one.")
]
LoginArgument = Annotated[str, typer.Argument(metavar="USERNAME", help="Username or e-mail address.")]


@commands.command()
def create_admin(
    username: UsernameArgument, email: EmailOption = None, password_stdin: PasswordStdinOption = False
) -> None:
    """Create an administrator, or give an existing account the scope `admin`."""
    password = _read_password() if password_stdin else None
    _run(lambda operator: make_admin(operator, username=username, email=email, password=password))


@commands.command()
def reset_password(username: LoginArgument) -> None:
    """Print a one-time token with which the account's owner sets a new password."""
    _run(lambda operator: issue_reset_token(operator, username))


@commands.command()
def rotate_keys() -> None:
    """Publish a new signing key. It starts to sign a few minutes later."""
    _run(rotate_signing_key)


async def make_admin(operator: "OperatorService", *, username: str, email: str | None, password: str | None) -> str:
    """Create the account or add the scope `admin`, and return a sentence with the result."""
    grant = await operator.make_admin(username, email=email, password=password)
    if not grant.created:
        return f"{grant.user.username} is an administrator now. The password is unchanged."
    suffix = f" Password: {grant.password}" if grant.password else ""
    return f"{grant.user.username} is an administrator.{suffix}"


async def issue_reset_token(operator: "OperatorService", login: str) -> str:
    """Issue a reset token and return a sentence that contains it; raise NotFound for an unknown account."""
    reset = await operator.issue_reset(login)
    return (
        f"Reset token for {reset.user.username}, valid once, until {reset.expires_at:%Y-%m-%d %H:%M} UTC: {reset.token}"
    )


async def rotate_signing_key(operator: "OperatorService") -> str:
    """Publish a new signing key and return a sentence with its ID."""
    kid = await operator.rotate_signing_key()
    return f"Signing key {kid} is published. Replicas start to use it without a restart."


def _run(operation: "Callable[[OperatorService], Awaitable[str]]") -> None:
    require_package("auth", "parley-auth", "parley auth")
    settings = load_settings()
    try:
        connections.use(settings.data_dir)
        message = asyncio.run(_run_offline(operation))
    except (SettingsError, ParleyError, FieldValueError) as error:
        fail("parley auth", str(error), status=1)
    except Exception as error:
        if not is_unavailable(error):
            raise
        fail("parley auth", f"Cannot reach the account database ({type(error).__name__}).", status=1)
    typer.echo(message)


async def _run_offline(operation: "Callable[[OperatorService], Awaitable[str]]") -> str:
    from auth.settings import AuthSettings
    from auth.wiring import open_offline

    async with open_offline(load(AuthSettings)) as auth:
        return await operation(auth.operator)


def _read_password() -> str:
    return getpass.getpass() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
