"""Where a process stands between start and exit, and who still has work open."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from typing import Literal

LifecycleState = Literal["starting", "ready", "draining"]
HANG_TIMEOUT = 30.0
"""Seconds without a tick of the event loop after which the process counts as hung."""


class Lifecycle:
    """``starting`` → ``ready`` → ``draining``; readable from any thread."""

    def __init__(self) -> None:
        """Begin in ``starting``."""
        self.state: LifecycleState = "starting"
        self.started_at = time.monotonic()
        self.last_tick = time.monotonic()
        self.drained = asyncio.Event()
        """Set when draining begins: open streams wait on it to say goodbye."""
        self.open_requests = 0
        self._server_comes = False
        self._idle = asyncio.Event()
        self._idle.set()

    def expect_server(self) -> None:
        """Stay ``starting`` until ``mark_ready``: whoever is told earlier would be sent to a closed port."""
        self._server_comes = True

    def mark_wired(self) -> None:
        """Everything is open but, where one is expected, the server: without one requests may come."""
        if not self._server_comes:
            self.mark_ready()

    def mark_ready(self) -> None:
        """Say that requests may come."""
        self.state = "ready"

    def start_draining(self) -> None:
        """Refuse new work and tell the open streams."""
        self.state = "draining"
        self.drained.set()

    def alive(self) -> bool:
        """Say whether the event loop still turns."""
        return time.monotonic() - self.last_tick < HANG_TIMEOUT

    def uptime(self) -> float:
        """Return the seconds since the process was wired."""
        return time.monotonic() - self.started_at

    @contextlib.contextmanager
    def request(self) -> Iterator[None]:
        """Count a request as open."""
        self.begin_request()
        try:
            yield
        finally:
            self.end_request()

    def begin_request(self) -> None:
        """Count a request as open, where a context manager would cost too much."""
        self.open_requests += 1
        self._idle.clear()

    def end_request(self) -> None:
        """Count it as done."""
        self.open_requests -= 1
        if not self.open_requests:
            self._idle.set()

    async def wait_idle(self, timeout: float) -> bool:
        """Wait until no request is open; return False when ``timeout`` seconds pass first."""
        try:
            async with asyncio.timeout(timeout):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True
