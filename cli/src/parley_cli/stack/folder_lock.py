"""Lock of a data folder: one running stack a folder. The kernel releases it when its process ends."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

FILE_NAME = "lock"
ATTEMPTS, ATTEMPT_INTERVAL = 10, 0.01


class FolderInUseError(Exception):
    """The data folder belongs to a running stack."""


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; FolderInUseError names the process that already holds it."""
    descriptor = os.open(folder / FILE_NAME, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not _locked(descriptor):
            raise FolderInUseError(f"{in_use_message(folder)} Stop it first.")
        # On a full disk the lock holds without the process ID.
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    """Lock the file; a command that only asks for its state holds it for a moment."""
    for _ in range(ATTEMPTS):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(ATTEMPT_INTERVAL)
    return False


def in_use_message(folder: Path) -> str:
    """Return a sentence that names the folder and the process that holds its lock."""
    return f"Parley already runs in {folder}, as process {holder(folder)}."


def holder(folder: Path) -> str:
    """Return the process ID in the lock file."""
    try:
        text = (folder / FILE_NAME).read_text(errors="replace").strip()
    except OSError:
        return "unknown"
    return text if text.isdecimal() else "unknown"


def is_held(folder: Path) -> bool:
    """Return whether a running process holds the folder's lock; OSError when the lock cannot be opened."""
    path = folder / FILE_NAME
    if not path.exists():
        return False
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # so that two commands that ask do not see each other
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
