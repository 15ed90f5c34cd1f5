"""Launcher of `parley run`: folder lock, servers, services, and shutdown in reverse order."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from parley.config.settings import SettingsError
from parley.errors import ParleyError
from parley.observability import logs
from parley.observability.error_reports import open_error_reports
from parley.observability.log_file import RotatingLogFile
from parley.process.descriptors import raise_descriptor_limit
from parley.web.server import error_report_options
from parley_cli.local_model.process import DISPLAY_NAME
from parley_cli.settings import LocalSettings
from parley_cli.stack import connections, folder_lock, preflight
from parley_cli.stack.backends import open_backends
from parley_cli.stack.demo_account import demo_login
from parley_cli.stack.encryption_key import ensure_key, replace_key
from parley_cli.stack.folder_lock import FolderInUseError
from parley_cli.stack.ports import StackPorts, require_free
from parley_cli.stack.service_settings import StackConfig
from parley_cli.stack.services import open_services, wait_for_signal
from parley_cli.stack.terminal import Terminal, admin_command
from parley_embedded.base_server import make_private
from parley_embedded.errors import EmbeddedError, explain

LOG_FILE = "parley.log"
MAX_REASON_LENGTH = 300
TINY_MODEL = f"{DISPLAY_NAME}, a tiny model to try things out. OPENAI_API_KEY or OPENAI_BASE_URL set a better one."


def run(settings: LocalSettings, *, new_signing_keys: bool = False) -> int:
    """Run until Ctrl-C and return the exit status. A failure prints one line and returns 1."""
    import uvloop

    status = 0
    raise_descriptor_limit()
    try:
        folder = prepare_folder(settings.data_dir)
        with folder_lock.hold(folder), _logging(folder, settings):
            uvloop.run(_run(settings, folder, new_signing_keys))
    except* Exception as group:  # noqa: BLE001 - the traceback is in the log
        status = 1
        for line in dict.fromkeys(describe(error, settings) for error in _flatten(group)):
            sys.stderr.write(f"parley: {line}\n")
    return status


def describe(error: BaseException, settings: LocalSettings) -> str:
    """Return one line for a person: what happened and what to do."""
    if isinstance(error, OSError):
        return explain(error)
    if isinstance(error, (EmbeddedError, FolderInUseError, SettingsError, ParleyError)):
        return str(error)
    reason = " ".join(str(error).split())[:MAX_REASON_LENGTH]
    log = settings.log_file or settings.data_dir.absolute() / LOG_FILE
    return (
        f"Unexpected {type(error).__name__}: {reason}. The traceback is in {log}. "
        "Check the settings. If a file of the data folder is damaged, restore it from a backup."
    )


def prepare_folder(data_dir: Path) -> Path:
    """Create and check the data folder; raise EmbeddedError when it is unusable."""
    folder = data_dir.absolute()
    make_private(folder)
    preflight.require_own(folder)
    preflight.require_space(folder)
    return folder


async def _run(settings: LocalSettings, folder: Path, new_signing_keys: bool) -> None:
    terminal = Terminal()
    ports = StackPorts.from_settings(settings)
    require_free(ports)
    if not new_signing_keys:
        ensure_key(folder)
    terminal.print("Starting Parley …")
    async with open_backends(settings, folder, terminal) as backends:
        if new_signing_keys:
            await replace_key(folder, backends.database_urls["auth"])
        config = StackConfig(settings, folder, backends)
        connections.save(folder, config.environment())
        login = demo_login(folder)
        async with open_services(config, login) as services:
            model = "configured provider" if settings.has_provider() else TINY_MODEL
            command = None if services.has_admin else admin_command(sys.argv[0], folder)
            terminal.print_ready(ports, login, model=model, folder=str(folder), admin_command=command)
            if services.provider_problem:
                terminal.print(f"No answers until this is corrected: {services.provider_problem}.")
            await wait_for_signal()
            terminal.print("Stopping: waiting for open answers. Press Ctrl-C again to stop now.")
    terminal.print("Stopped.")


@contextlib.contextmanager
def _logging(folder: Path, settings: LocalSettings) -> Iterator[None]:
    with (
        open_error_reports(**error_report_options(settings)) as report,
        RotatingLogFile(settings.log_file or folder / LOG_FILE) as file,
    ):
        logs.configure(settings.log_level, settings.log_format, file, report)
        try:
            yield
        except Exception:
            logs.log_exception("stack_failed")
            raise


def _flatten(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _flatten(error)
        else:
            yield error
