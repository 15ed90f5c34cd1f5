"""The command line of auth: serve, and what operators do on the machine itself."""

import argparse
import asyncio
import getpass
import secrets
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import NoReturn

from auth import main
from auth.model import OPERATOR
from auth.security import identifiers
from auth.security.scopes import ADMIN, PERSONAL
from auth.settings import AuthSettings
from auth.wiring import Wired, open_offline
from parley.config.settings import SettingsError, load
from parley.errors import ParleyError
from parley.storage.postgres import POSTGRES_UNAVAILABLE
from parley.web.problems import FieldValueError

Command = Callable[[Wired, argparse.Namespace], Awaitable[str]]


async def create_admin(auth: Wired, arguments: argparse.Namespace) -> str:
    """Make an administrator, or make one of an account that exists; returns what to print."""
    name = identifiers.username(arguments.username)
    found = await auth.stores.users.by_login(identifiers.key(name))
    if found is not None:
        scopes = tuple(sorted({*found.scopes, ADMIN}))
        await auth.stores.users.administer(found.id, status=None, plan=None, scopes=scopes, origin=OPERATOR)
        return f"{found.username} is an administrator now; the password is unchanged."
    password = _read_password(arguments) or secrets.token_urlsafe(18)
    user = await auth.accounts.create(
        username=name,
        email=identifiers.email(arguments.email) if arguments.email else None,
        password=password,
        origin=OPERATOR,
        scopes=(*PERSONAL, ADMIN),
    )
    shown = "" if arguments.password_stdin else f" Password: {password}"
    return f"{user.username} is an administrator.{shown}"


async def reset_password(auth: Wired, arguments: argparse.Namespace) -> str:
    """Make a reset token for an account; returns what to print."""
    found = await auth.stores.users.by_login(identifiers.key(arguments.username))
    if found is None:
        raise LookupError("There is no such account.")
    token, expires_at = await auth.resets.issue(found.id, OPERATOR)
    return f"Reset token for {found.username}, to be used once before {expires_at:%Y-%m-%d %H:%M} UTC: {token}"


async def rotate_keys(auth: Wired, arguments: argparse.Namespace) -> str:
    """Publish a new signing key; returns what to print."""
    del arguments
    kid = await auth.keys.rotate()
    return f"Signing key {kid} is published and takes over by itself; running replicas need no restart."


COMMANDS: dict[str, Command] = {
    "create-admin": create_admin,
    "reset-password": reset_password,
    "rotate-keys": rotate_keys,
}


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    found = argparse.ArgumentParser("parley-auth", description="The auth service of Parley.")
    commands = found.add_subparsers(dest="command")
    commands.add_parser("serve", help="serve (the default)")
    admin = commands.add_parser("create-admin", help="make an administrator")
    admin.add_argument("username")
    admin.add_argument("--email")
    admin.add_argument("--password-stdin", action="store_true", help="read the password instead of making one")
    reset = commands.add_parser("reset-password", help="make a one-use token for a new password")
    reset.add_argument("username", help="user name or e-mail address")
    commands.add_parser("rotate-keys", help="publish a new signing key, to sign in a few minutes")
    return found


def run(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    found = parser().parse_args(arguments)
    command = COMMANDS.get(found.command or "serve")
    if command is None:
        main.main()
        return
    try:
        message = asyncio.run(_offline(command, found))
    except (SettingsError, ParleyError, FieldValueError, LookupError) as error:
        _fail(str(error))
    except POSTGRES_UNAVAILABLE as error:
        _fail(f"The account database cannot be reached ({type(error).__name__}).")
    sys.stdout.write(f"{message}\n")


def _fail(message: str) -> NoReturn:
    for line in message.splitlines():
        sys.stderr.write(f"parley-auth: {line}\n")
    sys.exit(1)


async def _offline(command: Command, arguments: argparse.Namespace) -> str:
    async with AsyncExitStack() as stack:
        auth = await stack.enter_async_context(open_offline(load(AuthSettings)))
        return await command(auth, arguments)


def _read_password(arguments: argparse.Namespace) -> str | None:
    if not arguments.password_stdin:
        return None
    return getpass.getpass() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
