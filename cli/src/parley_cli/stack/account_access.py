"""Access to the accounts of a server for operator commands, without the server's API.

The server is the one of the settings (in a container of auth), the one that runs in the data folder, or a stopped one,
whose database runs while the command does.
"""

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from parley.config.settings import SettingsError, load
from parley.config.sources import configured_variables
from parley_cli.settings import LocalSettings
from parley_cli.stack import connections, folder_lock
from parley_cli.stack.folder_lock import FolderInUseError

if TYPE_CHECKING:
    from auth.container import AuthServices
    from auth.settings import AuthSettings

OWN_SETTINGS = frozenset({"AUTH_DATABASE_URL", "AUTH_SECRET_KEY"})
"""Settings of auth that `parley run` does not accept: one of them says that this is a container of auth."""
Report = Callable[[str], None]


class AccountAccessError(Exception):
    """The database of a stopped server cannot be started; one line for a person."""


@contextlib.asynccontextmanager
async def open_accounts(local: LocalSettings, report: Report) -> AsyncIterator["AuthServices"]:
    """Open the services of auth; ``report`` gets a line when a stopped server's database is started.

    Raises SettingsError when there is no server, and AccountAccessError when its database does not start.
    """
    from auth.wiring import open_offline

    async with _settings(local, report) as settings, open_offline(settings) as auth:
        yield auth


@contextlib.asynccontextmanager
async def _settings(local: LocalSettings, report: Report) -> AsyncIterator["AuthSettings"]:
    from auth.settings import AuthSettings

    folder = local.data_dir.absolute()
    if OWN_SETTINGS & configured_variables().keys() or connections.use(folder):
        yield load(AuthSettings)
    elif not folder.is_dir():
        raise SettingsError(
            f"There is no server here: neither AUTH_DATABASE_URL nor the folder {folder}. Start it once with make run, "
            "name its folder with --data-dir, or run this in a container of auth."
        )
    else:
        report(f"Parley does not run in {folder}. Its database is started for this command.")
        async with _stopped(local, folder) as settings:
            yield settings


def _public_url(local: LocalSettings, folder: Path) -> str:
    """Return the URL of links: set by the operator, or else that of the last run."""
    is_set = {"public_url", "port"} & local.model_fields_set
    return local.base_url() if is_set else connections.last_public_url(folder) or local.base_url()


@contextlib.asynccontextmanager
async def _stopped(local: LocalSettings, folder: Path) -> AsyncIterator["AuthSettings"]:
    from auth.settings import AuthSettings
    from parley_cli.stack.backends import open_account_database
    from parley_cli.stack.encryption_key import encryption_key, ensure_key
    from parley_embedded.errors import EmbeddedError, explain

    try:
        with folder_lock.hold(folder):
            ensure_key(folder)
            async with open_account_database(local, folder) as (database_url, redis_url):
                yield load(
                    AuthSettings,
                    environment="development",
                    public_url=_public_url(local, folder),
                    database_url=database_url,
                    redis_url=redis_url,
                    auth_secret_key=encryption_key(folder),
                )
    except (EmbeddedError, FolderInUseError) as error:
        raise AccountAccessError(str(error)) from error
    except OSError as error:
        raise AccountAccessError(explain(error)) from error
