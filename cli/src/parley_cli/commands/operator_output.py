"""Output of the subcommands of `parley admin`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from parley_cli.commands.new_passwords import NewPassword

if TYPE_CHECKING:
    from auth.accounts.model import User
    from auth.administration.creation import AccountRequest
    from auth.administration.operator import AccountResult
    from auth.password_resets.model import PasswordLink


def account_request(
    username: str,
    *,
    email: str | None,
    password: str | None,
    display_name: str | None = None,
    plan: str | None = None,
    scopes: Sequence[str] | None = None,
) -> "AccountRequest":
    """Return the account to create; None stands for a default."""
    from auth.administration.creation import AccountRequest
    from auth.security.scopes import DEFAULT_SCOPES, GRANTABLE_SCOPES

    unknown = sorted(set(scopes or ()) - GRANTABLE_SCOPES)
    if unknown:
        raise typer.BadParameter(f"unknown scope {unknown[0]}; known: {', '.join(sorted(GRANTABLE_SCOPES))}")
    return AccountRequest(
        username, email, password, display_name, tuple(scopes or DEFAULT_SCOPES), **({"plan": plan} if plan else {})
    )


def print_account(found: "AccountResult", password: NewPassword, *, created: str) -> None:
    """Print what happened to an account, and its link or generated password."""
    name = found.user.username
    if found.outcome == "created":
        typer.echo(f"{name} {created}.")
        if password.generated:
            typer.echo(f"Password: {password.text}")
        if found.link is not None:
            print_link(name, found.link)
        return
    changed = f"{name} is an administrator now."
    typer.echo(changed if found.outcome == "changed" else f"{name} exists already. Nothing changed.")
    if password.text:
        typer.echo(f"The password is unchanged. To set another one: parley admin reset-password {name}")
    if found.user.status == "invited":
        typer.echo(f"The account has no password yet. Print a new link: parley admin reset-password {name}")
    elif found.user.status == "disabled":
        typer.echo(f"The account is disabled. Enable it: parley admin enable-user {name}")


def print_link(username: str, link: "PasswordLink") -> None:
    """Print a one-time link."""
    typer.echo(f"On this page {username} chooses a password, once, until {link.expires_at:%Y-%m-%d %H:%M} UTC:")
    typer.echo(f"\n  {link.url}\n")


def print_users(users: Sequence["User"], limit: int) -> None:
    """Print one line for each account, in columns."""
    rows = [("USERNAME", "STATUS", "PLAN", "ADMIN", "LAST LOGIN", "E-MAIL")]
    for user in users:
        last = f"{user.last_login_at:%Y-%m-%d %H:%M}" if user.last_login_at else "never"
        admin = "yes" if "admin" in user.scopes else ""
        rows.append((user.username, user.status, user.plan, admin, last, user.email or ""))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  ".join(map(str.ljust, row, widths)).rstrip())
    if len(users) == limit:
        typer.echo(f"Only the newest {limit} are shown. Show more with --limit.", err=True)


def now(found: "AccountResult") -> str:
    """Return the word that tells a new state from one that was there before."""
    return "now " if found.outcome == "changed" else "already "
