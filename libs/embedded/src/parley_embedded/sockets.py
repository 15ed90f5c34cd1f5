"""Free TCP ports and private folders for unix sockets."""

import asyncio
import contextlib
import os
import re
import secrets
import shutil
import socket
import stat
import tempfile
from pathlib import Path

from parley_embedded.errors import EmbeddedError
from parley_embedded.private_files import read_private, write_private

MAX_SOCKET_PATH_BYTES = 107
PREFIX = "parley-"
SHORT_NAME = re.compile(PREFIX + "[0-9a-f]{12}")
# Below the range that kernels use for outgoing connections, so that no connection takes the port between two starts.
PORTS = range(15_000, 32_000)
MAX_ATTEMPTS = 100


def free_port() -> int:
    """Return a TCP port on which nothing listens on 127.0.0.1."""
    for _ in range(MAX_ATTEMPTS):
        port = secrets.choice(PORTS)
        if _is_free(port):
            return port
    raise EmbeddedError("No free TCP port was found on 127.0.0.1.")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


async def accepts_connections(port: int) -> bool:
    """Return whether a server on 127.0.0.1 accepts connections on this port."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


class SocketFolder:
    """Private folder for a unix socket, with a path that fits into the kernel's limit of 107 bytes.

    The folder is `run` inside the home folder, or has a short name in the temporary folder when that path is too long.
    A file in the home folder stores the name, so that a restart uses the same path and removes what a crash left.
    """

    def __init__(self, home: Path, socket_name: str) -> None:
        self._path_file = home / "socket-folder"
        inside = home / "run"
        self._outside = len(os.fsencode(inside / socket_name)) > MAX_SOCKET_PATH_BYTES
        self.path = self._stored_path() or _short_folder(socket_name) if self._outside else inside

    def _stored_path(self) -> Path | None:
        # `close` deletes the folder, so a damaged file must not name any other one.
        path = Path(read_private(self._path_file) or "")
        is_ours = SHORT_NAME.fullmatch(path.name) and path.parent in _temporary_folders()
        return path if is_ours else None

    def open(self, owner: int | None = None) -> Path:
        """Create the folder for this user or `owner` alone; raise EmbeddedError when it belongs to another user."""
        if self._outside:
            write_private(self._path_file, str(self.path))
        self.path.mkdir(mode=0o700, exist_ok=True)
        found = self.path.lstat()
        is_owned = found.st_uid in {os.geteuid(), owner}
        if not is_owned or not stat.S_ISDIR(found.st_mode) or stat.S_IMODE(found.st_mode) & 0o077:
            raise EmbeddedError(f"The socket folder {self.path} is not private. Remove it.")
        return self.path

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._path_file.unlink(missing_ok=True)


def _short_folder(socket_name: str) -> Path:
    name = PREFIX + secrets.token_hex(6)
    preferred, fallback = (folder / name for folder in _temporary_folders())
    fits = len(os.fsencode(preferred / socket_name)) <= MAX_SOCKET_PATH_BYTES
    return preferred if fits else fallback


def _temporary_folders() -> tuple[Path, Path]:
    return Path(tempfile.gettempdir()), Path("/tmp")  # noqa: S108 - folders have mode 0700 and a random name
