"""`parley admin`: accounts, administrators, password links and signing keys."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from parley_cli.commands import operator_output as output
from parley_cli.commands.new_passwords import GeneratePasswordOption, PasswordStdinOption, choose_password
from parley_cli.commands.operator_session import run_operation
from parley_cli.commands.shared import DataDirOption

HELP = """Manage the people of this server, without a login.

Works on the running product, on a stopped one, and in a container of auth.

No secret is given on the command line. A repeated command changes nothing and succeeds.

Exit status: 0 done, or done before; 1 refused; 2 wrong usage or settings; 3 no such account.
"""
commands = typer.Typer(no_args_is_help=True, help=HELP)

NameArgument = Annotated[str, typer.Argument(metavar="USERNAME", help="Username of the account.")]
LoginArgument = Annotated[str, typer.Argument(metavar="USERNAME", help="Username or e-mail address.")]
EmailOption = Annotated[str | None, typer.Option(help="E-mail address.")]
DisplayNameOption = Annotated[str | None, typer.Option(help="Name that is shown to others.")]
PlanOption = Annotated[str | None, typer.Option(help="Plan of the plans file. Default: default")]
ScopeOption = Annotated[
    list[str] | None, typer.Option("--scope", help="Permission of the account, repeatable. Default: all except admin")
]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]
FilterArgument = Annotated[
    str, typer.Argument(metavar="[BEGINNING]", help="Beginning of a username or e-mail address.")
]
StatusOption = Annotated[
    Literal["active", "disabled", "invited"] | None, typer.Option(help="Only accounts with this status.")
]
AdminsOption = Annotated[bool, typer.Option("--admins", help="Only administrators.")]
LimitOption = Annotated[int, typer.Option(min=1, max=10_000, help="Maximum number of lines.")]


@commands.callback()
def admin(context: typer.Context, data_dir: DataDirOption = None) -> None:
    """Remember the data folder for the subcommand."""
    context.obj = data_dir


@commands.command()
def create_user(
    context: typer.Context,
    username: NameArgument,
    email: EmailOption = None,
    display_name: DisplayNameOption = None,
    plan: PlanOption = None,
    scope: ScopeOption = None,
    password_stdin: PasswordStdinOption = False,
    generate_password: GeneratePasswordOption = False,
) -> None:
    """Add a person, even while registration is closed.

    Prints a link with which the person chooses a password. It works once, within seven days.
    """
    password = choose_password(from_stdin=password_stdin, generate=generate_password)
    found = run_operation(
        folder_of(context),
        lambda operator: operator.create_user(
            output.account_request(
                username, email=email, password=password.text, display_name=display_name, plan=plan, scopes=scope
            )
        ),
    )
    output.print_account(found, password, created="has an account now")


@commands.command()
def create_admin(
    context: typer.Context,
    username: NameArgument,
    email: EmailOption = None,
    password_stdin: PasswordStdinOption = False,
    generate_password: GeneratePasswordOption = False,
) -> None:
    """Add an administrator, or make an existing account one.

    A new account gets a link with which its owner chooses a password. An existing account keeps its password.
    """
    password = choose_password(from_stdin=password_stdin, generate=generate_password)
    found = run_operation(
        folder_of(context),
        lambda operator: operator.make_admin(output.account_request(username, email=email, password=password.text)),
    )
    output.print_account(found, password, created="is an administrator")


@commands.command()
def reset_password(context: typer.Context, username: LoginArgument) -> None:
    """Print a link with which the owner of an account chooses a new password.

    It works once, within an hour; for an account without a password, within seven days.
    """
    found = run_operation(folder_of(context), lambda operator: operator.issue_reset(username))
    output.print_link(found.user.username, found.link)


@commands.command()
def list_users(
    context: typer.Context,
    beginning: FilterArgument = "",
    status: StatusOption = None,
    admins: AdminsOption = False,
    limit: LimitOption = 100,
) -> None:
    """List accounts, newest first."""
    found = run_operation(
        folder_of(context),
        lambda operator: operator.users(
            text=beginning or None, status=status, scope="admin" if admins else None, limit=limit
        ),
    )
    output.print_users(found, limit)


@commands.command()
def disable_user(context: typer.Context, username: LoginArgument) -> None:
    """Lock a person out: every session ends and API keys stop working. Nothing is deleted."""
    found = run_operation(folder_of(context), lambda operator: operator.set_status(username, "disabled"))
    typer.echo(f"{found.user.username} is {output.now(found)}disabled.")


@commands.command()
def enable_user(context: typer.Context, username: LoginArgument) -> None:
    """Let a disabled person log in again."""
    found = run_operation(folder_of(context), lambda operator: operator.set_status(username, "active"))
    if found.user.status == "invited":
        typer.echo(f"{username} has no password yet. Print a new link: parley admin reset-password {username}")
    else:
        typer.echo(f"{found.user.username} is {output.now(found)}active.")


@commands.command()
def delete_user(context: typer.Context, username: LoginArgument, yes: YesOption = False) -> None:
    """Erase a person from every service, with all conversations. This cannot be undone."""
    if not yes:
        typer.confirm(f"Erase {username} with all conversations?", abort=True)
    user, erasure = run_operation(folder_of(context), lambda operator: operator.erase(username))
    typer.echo(f"{user.username} is erased here. Progress of the other services: /api/v1/auth/erasures/{erasure.id}")


@commands.command()
def rotate_keys(context: typer.Context) -> None:
    """Publish a new signing key, which starts to sign a few minutes later. No token becomes invalid."""
    kid = run_operation(folder_of(context), lambda operator: operator.rotate_signing_key())
    typer.echo(f"Signing key {kid} is published. Replicas start to use it without a restart.")


def folder_of(context: typer.Context) -> Path | None:
    """Return the data folder that the caller named."""
    found: Path | None = context.obj
    return found
