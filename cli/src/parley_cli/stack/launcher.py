"""`parley run`: everything on this machine, from the folder's lock to the last process gone."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from parley.config.settings import SettingsError
from parley.errors import ParleyError
from parley.observability import logs
from parley_cli.model.process import DISPLAY_NAME
from parley_cli.settings import LocalSettings
from parley_cli.stack import connections, folder_lock, preflight
from parley_cli.stack.backends import has_provider, open_backends
from parley_cli.stack.console import Console
from parley_cli.stack.demo_account import demo_login
from parley_cli.stack.log_file import RotatingFile
from parley_cli.stack.ports import Ports, require_free
from parley_cli.stack.services import Plan, open_stack, wait_for_signal
from parley_embedded.errors import EmbeddedError
from parley_embedded.server import make_private


def run(settings: LocalSettings, ports: Ports) -> int:
    """Run until Ctrl-C; returns the exit status. What cannot start is one line and status 1."""
    import uvloop

    status = 0
    try:
        folder = prepare(settings.data_dir)
        with folder_lock.hold(folder), _logging(folder, settings):
            uvloop.run(_run(settings, folder, ports))
    except* (EmbeddedError, SettingsError, ParleyError, OSError) as group:
        status = 1
        for error in _leaves(group):
            sys.stderr.write(f"parley: {error}\n")
    return status


def prepare(data_dir: Path) -> Path:
    """Return the data folder, made and checked; EmbeddedError when it cannot be used."""
    folder = data_dir.absolute()
    make_private(folder)
    preflight.require_own(folder)
    preflight.require_space(folder)
    return folder


async def _run(settings: LocalSettings, folder: Path, ports: Ports) -> None:
    console = Console()
    require_free(ports)
    console.say("Starting Parley …")
    async with open_backends(settings, folder, console) as backends:
        plan = Plan(folder, ports, backends, _public_url(settings, ports))
        connections.keep(folder, plan.environment())
        login = demo_login(folder)
        async with open_stack(plan, login):
            model = "your provider" if has_provider(settings) else DISPLAY_NAME
            console.ready(ports, login, model=model, folder=str(folder))
            await wait_for_signal()
            console.say("Stopping: open answers may end first (Ctrl-C again: now).")
    console.say("Stopped.")


def _public_url(settings: LocalSettings, ports: Ports) -> str:
    chosen = "public_url" in settings.model_fields_set
    return settings.public_url if chosen else f"http://localhost:{ports.of('gateway')}"


@contextlib.contextmanager
def _logging(folder: Path, settings: LocalSettings) -> Iterator[None]:
    with RotatingFile(folder / "parley.log") as file:
        logs.configure(settings.log_level, settings.log_format, file)
        yield


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
