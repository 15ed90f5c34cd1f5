"""Base class of the embedded servers: data folder, child process and readiness."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

from parley_embedded.errors import EmbeddedError, explain
from parley_embedded.process.child import ChildProcess, ServerCommand


class EmbeddedServer(ABC):
    """A server with its own data folder. `start` and `stop` are idempotent, and a stopped server can start again."""

    start_timeout = 60.0

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.absolute()
        self._child: ChildProcess | None = None

    @property
    def child(self) -> ChildProcess:
        """The server's process; EmbeddedError before the first start."""
        if self._child is None:
            raise EmbeddedError(f"{type(self).__name__} has not been started.")
        return self._child

    @property
    def running(self) -> bool:
        """Whether the process runs."""
        return self._child is not None and self._child.running

    @property
    @abstractmethod
    def url(self) -> str:
        """The URL for clients, with credentials."""

    @abstractmethod
    async def prepare(self) -> ServerCommand:
        """Write the files that the server needs and return its command."""

    @abstractmethod
    async def is_ready(self) -> bool:
        """Return whether the server serves clients."""

    async def start(self) -> None:
        """Start the server and wait until it is ready; raise EmbeddedError with one line when that fails."""
        if self.running:
            return
        make_private(self.data_dir)
        try:
            self._child = ChildProcess(await self.prepare())
            await self._child.start()
            await self._child.wait_until(self.is_ready, self.start_timeout)
            await self.after_start()
        except BaseException as error:
            await self.stop()
            if isinstance(error, OSError):
                raise EmbeddedError(explain(error, self.data_dir)) from error
            raise

    async def after_start(self) -> None:  # noqa: B027 - most servers have nothing to do
        """Run once after each start, when the server is ready."""

    async def stop(self) -> None:
        """Shut the server down; kill it when it does not stop in time."""
        if self._child is not None:
            await self._child.stop()

    async def kill(self) -> None:
        """Kill the server, as a crash does. `start` starts it again."""
        await self.child.kill()

    def abandon(self) -> None:
        """Kill the server without an event loop."""
        if self._child is not None:
            self._child.abandon()

    def freeze(self) -> None:
        """Suspend the server. Its connections stay open."""
        self.child.freeze()

    def resume(self) -> None:
        """Resume a suspended server."""
        self.child.resume()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


def make_private(folder: Path) -> None:
    """Create a folder that only its owner can enter; raise EmbeddedError when that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
    except OSError as error:
        raise EmbeddedError(f"{explain(error, folder)}{_describe_owner(folder)}") from error


def _describe_owner(folder: Path) -> str:
    try:
        return f" It belongs to user ID {folder.stat().st_uid}."
    except OSError:
        return ""
