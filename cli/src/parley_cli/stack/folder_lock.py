"""One stack a folder: a lock that the kernel gives back when its holder dies, however it dies."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from parley_embedded.errors import EmbeddedError


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; EmbeddedError names the process that holds it already."""
    path = folder / "lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EmbeddedError(
                f"Parley runs already in {folder}, as process {holder(folder)}: stop it first."
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        os.close(descriptor)


def holder(folder: Path) -> str:
    """Return the pid that the lock file names."""
    with contextlib.suppress(OSError):
        return (folder / "lock").read_text().strip() or "unknown"
    return "unknown"


def is_held(folder: Path) -> bool:
    """Say whether a living process holds the folder's lock."""
    path = folder / "lock"
    if not path.exists():
        return False
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
