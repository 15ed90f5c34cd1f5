"""Passwords of new accounts: from standard input, generated, or none."""

import getpass
import secrets
import sys
from dataclasses import dataclass, field
from typing import Annotated

import typer

from parley_cli.commands.shared import fail

GENERATED_PASSWORD_BYTES = 18
PasswordStdinOption = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input; prompt on a terminal.")
]
GeneratePasswordOption = Annotated[
    bool, typer.Option("--generate-password", help="Print a generated password instead of a link.")
]


@dataclass(frozen=True, slots=True)
class NewPassword:
    """The password of a new account; None leaves the choice to its owner."""

    text: str | None = field(default=None, repr=False)
    generated: bool = False


def choose_password(*, from_stdin: bool, generate: bool) -> NewPassword:
    """Return the password that the options select; exit with status 2 for contradictory ones or an empty password."""
    if from_stdin and generate:
        fail("parley admin", "Use either --password-stdin or --generate-password.", status=2)
    if generate:
        return NewPassword(secrets.token_urlsafe(GENERATED_PASSWORD_BYTES), generated=True)
    if not from_stdin:
        return NewPassword()
    text = _ask() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    if not text:
        fail("parley admin", "No password was given on standard input.", status=2)
    return NewPassword(text)


def _ask() -> str:
    text = getpass.getpass("Password: ")
    if text != getpass.getpass("Password again: "):
        fail("parley admin", "The two passwords differ.", status=2)
    return text
