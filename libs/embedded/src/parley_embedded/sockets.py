"""Addresses for servers of our own: free ports and folders for unix sockets."""

import asyncio
import contextlib
import os
import secrets
import shutil
import socket
import stat
import tempfile
from pathlib import Path

from parley_embedded.errors import EmbeddedError

SOCKET_PATH_BYTES = 107
PREFIX = "parley-"
# Below the range from which kernels give ports to outgoing connections, so that none takes ours between two starts.
FIRST_PORT, LAST_PORT = 15_000, 32_000
ATTEMPTS = 100


def free_port() -> int:
    """Return a TCP port that is free on 127.0.0.1 now."""
    for _ in range(ATTEMPTS):
        port = FIRST_PORT + secrets.randbelow(LAST_PORT - FIRST_PORT)
        if _is_free(port):
            return port
    raise EmbeddedError("Found no free TCP port on 127.0.0.1.")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


async def port_answers(port: int) -> bool:
    """Tell whether something on 127.0.0.1 accepts connections at this port."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


class SocketFolder:
    """A private folder for a unix socket whose path fits into the kernel's 107 bytes.

    It is `run` inside the home folder, or a short name in the temporary folder when the home's path is too long. The
    name is remembered in the home folder, so that a restart gives the same address and removes what a crash left.
    """

    def __init__(self, home: Path, socket_name: str) -> None:
        self._memory = home / "socket-folder"
        inside = home / "run"
        self._outside = len(os.fsencode(inside / socket_name)) > SOCKET_PATH_BYTES
        self.path = self._remembered() or _short_folder(socket_name) if self._outside else inside

    def _remembered(self) -> Path | None:
        try:
            path = Path(self._memory.read_text())
        except OSError:
            return None
        return path if path.name.startswith(PREFIX) else None

    def open(self, owner: int | None = None) -> Path:
        """Make the folder, for us or the given user id alone; EmbeddedError when somebody else made it."""
        if self._outside:
            self._memory.write_text(str(self.path))
        self.path.mkdir(mode=0o700, exist_ok=True)
        found = self.path.lstat()
        ours = found.st_uid in {os.geteuid(), owner}
        if not ours or not stat.S_ISDIR(found.st_mode) or stat.S_IMODE(found.st_mode) & 0o077:
            raise EmbeddedError(f"The socket folder {self.path} is not private: remove it.")
        return self.path

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._memory.unlink(missing_ok=True)


def _short_folder(socket_name: str) -> Path:
    name = PREFIX + secrets.token_hex(6)
    usual = Path(tempfile.gettempdir()) / name
    fits = len(os.fsencode(usual / socket_name)) <= SOCKET_PATH_BYTES
    return usual if fits else Path("/tmp") / name  # noqa: S108 - made 0700 under a random name
