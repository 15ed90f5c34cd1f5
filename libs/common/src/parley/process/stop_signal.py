"""Stop signals of a process. They also end a start that still waits, which the first process of a container must do."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator


class ProcessStopSignal:
    """Set by SIGTERM or SIGINT."""

    def __init__(self) -> None:
        """Create a signal that is not installed yet."""
        self._received = asyncio.Event()
        self._starting: asyncio.Task[object] | None = None
        self.on_second: Callable[[], None] = lambda: None
        """Called when another signal follows."""

    async def wait(self) -> None:
        """Wait for the first signal."""
        await self._received.wait()

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Handle the signals, and end the context quietly if one arrives before ``started``.

        The kernel gives the first process of a container no default handling: without a handler, it ignores SIGTERM.
        """
        loop, self._starting = asyncio.get_running_loop(), asyncio.current_task()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._receive)
        task = self._starting
        try:
            yield
        except asyncio.CancelledError:
            if task is None or self._starting is None or not self._received.is_set() or task.uncancel():
                raise

    def started(self) -> None:
        """Note the end of the start: signals no longer cancel the task."""
        self._starting = None

    def _receive(self) -> None:
        if self._received.is_set():
            self.on_second()
            return
        self._received.set()
        if self._starting is not None:
            self._starting.cancel()
