"""`parley auth`: administrators, password resets and signing keys."""

import asyncio
import getpass
import secrets
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from parley.config.settings import SettingsError, load
from parley.errors import ParleyError
from parley.storage.postgres import POSTGRES_UNAVAILABLE
from parley.web.problems import FieldValueError
from parley_cli.commands.shared import fail, load_settings, require_package
from parley_cli.stack import connections

if TYPE_CHECKING:
    from auth.wiring import Wired

commands = typer.Typer(no_args_is_help=True, help="Manage administrators, password resets and signing keys.")

GENERATED_PASSWORD_BYTES = 18

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
    _run(lambda auth: make_admin(auth, username=username, email=email, password=password))


@commands.command()
def reset_password(username: LoginArgument) -> None:
    """Print a one-time token with which the account's owner sets a new password."""
    _run(lambda auth: issue_reset_token(auth, username))


@commands.command()
def rotate_keys() -> None:
    """Publish a new signing key. It starts to sign a few minutes later."""
    _run(rotate_signing_key)


async def make_admin(auth: "Wired", *, username: str, email: str | None, password: str | None) -> str:
    """Create the account or add the scope `admin`, and return a sentence with the result."""
    from auth.model import OPERATOR
    from auth.security import identifiers
    from auth.security.scopes import ADMIN, PERSONAL

    name = identifiers.username(username)
    existing = await auth.stores.users.by_login(identifiers.key(name))
    if existing is not None:
        scopes = tuple(sorted({*existing.scopes, ADMIN}))
        await auth.stores.users.administer(existing.id, status=None, plan=None, scopes=scopes, origin=OPERATOR)
        return f"{existing.username} is an administrator now. The password is unchanged."
    new_password = password or secrets.token_urlsafe(GENERATED_PASSWORD_BYTES)
    user = await auth.accounts.create(
        username=name,
        email=identifiers.email(email) if email else None,
        password=new_password,
        origin=OPERATOR,
        scopes=(*PERSONAL, ADMIN),
    )
    suffix = "" if password else f" Password: {new_password}"
    return f"{user.username} is an administrator.{suffix}"


async def issue_reset_token(auth: "Wired", login: str) -> str:
    """Issue a reset token and return a sentence that contains it; raise LookupError for an unknown account."""
    from auth.model import OPERATOR
    from auth.security import identifiers

    account = await auth.stores.users.by_login(identifiers.key(login))
    if account is None:
        raise LookupError("No account has this username or e-mail address.")
    token, expires_at = await auth.resets.issue(account.id, OPERATOR)
    return f"Reset token for {account.username}, valid once, until {expires_at:%Y-%m-%d %H:%M} UTC: {token}"


async def rotate_signing_key(auth: "Wired") -> str:
    """Publish a new signing key and return a sentence with its ID."""
    kid = await auth.keys.rotate()
    return f"Signing key {kid} is published. Replicas start to use it without a restart."


def _run(operation: "Callable[[Wired], Awaitable[str]]") -> None:
    require_package("auth", "parley-auth", "parley auth")
    connections.use(load_settings().data_dir)
    try:
        message = asyncio.run(_run_offline(operation))
    except (SettingsError, ParleyError, FieldValueError, LookupError) as error:
        fail("parley auth", str(error), status=1)
    except POSTGRES_UNAVAILABLE as error:
        fail("parley auth", f"Cannot reach the account database ({type(error).__name__}).", status=1)
    typer.echo(message)


async def _run_offline(operation: "Callable[[Wired], Awaitable[str]]") -> str:
    from auth.settings import AuthSettings
    from auth.wiring import open_offline

    async with open_offline(load(AuthSettings)) as auth:
        return await operation(auth)


def _read_password() -> str:
    return getpass.getpass() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
