"""Surroundings of a program that breaks things: a network namespace, and a folder that is removed at the end."""

import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from parley_testing.backends.shared_servers import SharedBackends, UnavailableError
from parley_testing.faults.lost_host import laboratory

INSIDE = "PARLEY_BLACKOUT_INSIDE"


def enter_laboratory(module: str) -> None:
    """Replace this program by one that runs the module with the same arguments in namespaces of its own; once."""
    if INSIDE in os.environ:
        return
    try:
        asyncio.run(SharedBackends().rabbitmq_root())  # inside, there is no network to download it from
    except UnavailableError as error:
        sys.exit(str(error))
    command = laboratory([sys.executable, "-m", module, *sys.argv[1:]])
    if command is None:
        sys.exit("This system permits neither network namespaces nor user namespaces, or has no `ip`.")
    os.execvpe(command[0], command, {**os.environ, INSIDE: "1"})


@contextlib.contextmanager
def rig_folder(logs: Path | None) -> Iterator[Path]:
    """Make a folder for one rig; copy the logs in it to ``logs`` at the end, if that is given."""
    with tempfile.TemporaryDirectory(prefix="parley-blackout-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        try:
            yield folder
        finally:
            if logs:
                logs.mkdir(parents=True, exist_ok=True)
                for log in folder.rglob("*.log*"):
                    shutil.copy(log, logs / log.name)
