"""Access to all databases of a server: of the settings, of the running stack, or of a stopped one."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from parley.config.settings import SettingsError, load
from parley.config.sources import configured_variables
from parley_cli.backup.access import KEY_OPTION, DatabaseAccess
from parley_cli.backup.errors import BackupError
from parley_cli.backup.settings import URL_VARIABLES, BackupSettings
from parley_cli.settings import LocalSettings
from parley_cli.stack import connections, folder_lock
from parley_cli.stack.folder_lock import FolderInUseError


def is_container() -> bool:
    """Return whether the databases are those of the settings, as in a container."""
    return bool(URL_VARIABLES & configured_variables().keys())


@contextlib.asynccontextmanager
async def open_to_read(local: LocalSettings, services: list[str]) -> AsyncIterator[DatabaseAccess]:
    """Open the databases of a server, running or not; raise SettingsError when there is none."""
    folder = local.data_dir.absolute()
    if is_container() or connections.use(folder):
        yield _configured(services)
        return
    if not folder.is_dir():
        raise SettingsError(
            f"There is no server here: neither AUTH_DATABASE_URL nor the folder {folder}. Name its folder with "
            "--data-dir, or set the URLs of the databases."
        )
    from parley_cli.stack.encryption_key import has_database

    if local.database_url is None and not has_database(folder):
        raise SettingsError(f"There is no database in {folder}. Name the folder of a server with --data-dir.")
    async with _stopped(local, folder, services) as access:
        yield access


@contextlib.asynccontextmanager
async def open_to_replace(
    local: LocalSettings, services: list[str], secret_key: str | None = None
) -> AsyncIterator[DatabaseAccess]:
    """Open the databases of a server that does not run. A data folder that does not exist is made.

    ``secret_key`` is for a folder that has none yet. Where the databases come from the settings, as in a container, it
    raises SettingsError.
    """
    if is_container():
        if secret_key is not None:
            raise SettingsError(
                f"{KEY_OPTION}: is only for a data folder. With the databases of the settings, the keys are the "
                "settings AUTH_SECRET_KEY and WEBHOOKS_SECRET_KEY."
            )
        yield _configured(services)
        return
    async with _stopped(local, local.data_dir.absolute(), services, secret_key) as access:
        yield access


def _configured(services: list[str]) -> DatabaseAccess:
    settings = load(BackupSettings)
    return DatabaseAccess(settings.dsns(services), settings.secret_keys())


@contextlib.asynccontextmanager
async def _stopped(
    local: LocalSettings, folder: Path, services: list[str], secret_key: str | None = None
) -> AsyncIterator[DatabaseAccess]:
    from parley_cli.stack.backends import open_databases
    from parley_cli.stack.encryption_key import FILE_NAME, encryption_key
    from parley_cli.stack.launcher import prepare_folder
    from parley_embedded.errors import EmbeddedError, explain

    try:
        prepare_folder(folder)
        with folder_lock.hold(folder):
            has_key = (folder / FILE_NAME).exists()
            given = secret_key or load(BackupSettings).secret_keys().get("auth")
            key = encryption_key(folder) if has_key else given
            keys = dict.fromkeys(("auth", "webhooks"), key) if key else {}  # they share it
            async with open_databases(local, folder) as urls:
                dsns = {service: urls[service] for service in services}
                yield DatabaseAccess(dsns, keys, None if has_key else folder / FILE_NAME)
    except (EmbeddedError, FolderInUseError) as error:
        raise BackupError(str(error)) from error
    except OSError as error:
        raise BackupError(explain(error)) from error
