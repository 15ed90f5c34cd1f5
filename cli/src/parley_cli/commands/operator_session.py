"""Runs one operation on the accounts of a server: of the settings, of the running stack, or of a stopped one."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer

from parley.config.settings import SettingsError
from parley.errors import NotFound, ParleyError, ValidationFailed
from parley.observability import logs
from parley_cli.commands.shared import fail, load_settings, require_package
from parley_cli.stack.account_access import AccountAccessError, open_accounts

if TYPE_CHECKING:
    from auth.administration.operator import OperatorService

T = TypeVar("T")
COMMAND = "parley admin"
REFUSED, MISUSED, NOT_FOUND = 1, 2, 3


def run_operation(data_dir: Path | None, operation: "Callable[[OperatorService], Awaitable[T]]") -> T:
    """Return the result of an operation; on an error print one line and exit."""
    require_package("auth", "parley-auth", COMMAND)
    from parley.storage.postgres_errors import is_unavailable

    logs.configure("error")
    settings = load_settings(data_dir)

    async def run() -> T:
        async with open_accounts(settings, report=lambda text: typer.echo(text, err=True)) as auth:
            return await operation(auth.operator)

    try:
        return asyncio.run(run())
    except SettingsError as error:
        fail(COMMAND, str(error), status=MISUSED)
    except NotFound as error:
        fail(COMMAND, str(error), status=NOT_FOUND)
    except ValidationFailed as error:
        fail(
            COMMAND,
            "\n".join(f"{each.pointer.strip('/')}: {each.detail}".removeprefix(": ") for each in error.errors),
            status=REFUSED,
        )
    except (ParleyError, AccountAccessError) as error:
        fail(COMMAND, str(error), status=REFUSED)
    except Exception as error:
        if not is_unavailable(error):
            raise
        fail(COMMAND, f"Cannot reach the account database ({type(error).__name__}).", status=REFUSED)
