"""What the embedded servers have in common: a child, a folder, a readiness question."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

from parley_embedded.errors import EmbeddedError
from parley_embedded.process.child import ChildProcess, Command


class EmbeddedServer(ABC):
    """A server in a folder of its own. Starting and stopping twice is harmless, and it may be started again."""

    start_seconds = 60.0

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.absolute()
        self._child: ChildProcess | None = None

    @property
    def child(self) -> ChildProcess:
        """The process itself, to send it signals or read its log; EmbeddedError when it was not started."""
        if self._child is None:
            raise EmbeddedError(f"{type(self).__name__} was not started.")
        return self._child

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._child is not None and self._child.running

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients connect, credentials included."""

    @abstractmethod
    async def prepare(self) -> Command:
        """Make everything the process needs on disk and say how to run it."""

    @abstractmethod
    async def answers(self) -> bool:
        """Tell whether a client is served now."""

    async def start(self) -> None:
        """Start and wait until it serves; EmbeddedError with one clear line otherwise."""
        if self.running:
            return
        make_private(self.data_dir)
        self._child = ChildProcess(await self.prepare())
        try:
            await self._child.start()
            await self._child.wait_until(self.answers, self.start_seconds)
            await self.started()
        except BaseException:
            await self.stop()
            raise

    async def started(self) -> None:  # noqa: B027 - most servers have nothing to do here
        """Do what is due once after each start."""

    async def stop(self) -> None:
        """End the process in order, at last by force."""
        if self._child is not None:
            await self._child.stop()

    async def kill(self) -> None:
        """End the process as a power cut would; `start` brings it back."""
        await self.child.kill()

    def abandon(self) -> None:
        """Kill without waiting in a loop, when there is none any more."""
        if self._child is not None:
            self._child.abandon()

    def freeze(self) -> None:
        """Let the server hang with its connections open."""
        self.child.freeze()

    def resume(self) -> None:
        """Let a frozen server go on."""
        self.child.resume()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


def make_private(folder: Path) -> None:
    """Make a folder only we can enter; EmbeddedError when that is impossible."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
    except OSError as error:
        raise EmbeddedError(
            f"Cannot use the folder {folder}{_owned_by(folder)} ({error.strerror}): chown or remove it."
        ) from error


def _owned_by(folder: Path) -> str:
    try:
        return f", owned by uid {folder.stat().st_uid}"
    except OSError:
        return ""
