"""A log file that keeps a bounded amount: itself and its predecessor."""

import os
from io import FileIO
from pathlib import Path
from typing import Any, Self

LIMIT_BYTES = 20_000_000


class RotatingFile(FileIO):
    """Appends without a buffer; over the limit the file becomes `<name>.1` and a new one begins."""

    def __init__(self, path: Path, limit: int = LIMIT_BYTES) -> None:
        """Open the file, readable by its owner only."""
        self._path, self._limit = path, limit
        super().__init__(self._open(), "ab")

    def write(self, data: Any) -> int:
        """Write one entry whole, into a new file when this one is full."""
        if self.tell() + len(data) > self._limit:
            self._rotate()
        return super().write(data)

    def _rotate(self) -> None:
        self._path.replace(self._path.with_name(f"{self._path.name}.1"))
        fresh = self._open()
        os.dup2(fresh, self.fileno())
        os.close(fresh)

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def __enter__(self) -> Self:
        return self
