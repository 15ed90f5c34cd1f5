"""Small files that only their owner can read, replaced as a whole."""

import contextlib
import os
import stat
from pathlib import Path

from parley_embedded.errors import EmbeddedError, explain

MAX_BYTES = 65_536
"""Longest content that `read_private` returns, in bytes."""


def read_private(path: Path) -> str | None:
    """Return the start of a regular file as text; None when it does not exist.

    Bytes that are not UTF-8 become U+FFFD. Raises EmbeddedError when the file cannot be read.
    """
    try:
        # Without O_NONBLOCK, a named pipe in place of the file would block forever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise EmbeddedError(f"{path} is not a regular file. Move it away and start again.")
            return os.read(descriptor, MAX_BYTES).decode(errors="replace")
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise EmbeddedError(explain(error, path)) from error


def write_private(path: Path, text: str) -> None:
    """Replace a file, so that a crash or a full disk leaves either the old or the new content.

    Raises EmbeddedError when the file cannot be written.
    """
    new = path.with_name(f"{path.name}.new")
    try:
        new.unlink(missing_ok=True)
        try:
            _write_synced(new, text)
            new.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                new.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    except OSError as error:
        raise EmbeddedError(explain(error, path)) from error


def _write_synced(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)


def sync_folder(folder: Path) -> None:
    """Write the names of the folder's files to disk, without which a power failure can undo a rename."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
