"""Log file of bounded size: the current file and its predecessor."""

import fcntl
import os
from io import FileIO
from pathlib import Path
from typing import Any, Self

LIMIT_BYTES = 20_000_000


class RotatingLogFile(FileIO):
    """Unbuffered append-only file that becomes `<name>.1` when it exceeds the limit. Processes can share it."""

    def __init__(self, path: Path, limit: int = LIMIT_BYTES) -> None:
        self._path, self._limit = path, limit
        super().__init__(self._open(), "ab")

    def write(self, data: Any) -> int:
        """Write one whole entry, to a new file when the current one is full."""
        if self.tell() + len(data) > self._limit:
            self._rotate()
        return super().write(data)

    def _rotate(self) -> None:
        # The lock belongs to a descriptor of its own: forked processes share this object's.
        locked = self._open()
        try:
            fcntl.flock(locked, fcntl.LOCK_EX)
            if self._path.stat().st_ino == os.fstat(self.fileno()).st_ino:  # else another process has rotated it
                self._path.replace(self._path.with_name(f"{self._path.name}.1"))
            new_file = self._open()  # before the lock ends: the next process needs the path
        finally:
            os.close(locked)
        os.dup2(new_file, self.fileno())
        os.close(new_file)

    def _open(self) -> int:
        opened = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.lseek(opened, 0, os.SEEK_END)
        return opened

    def __enter__(self) -> Self:
        return self
