"""Lifecycle state of a service, and the number of its open requests."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from typing import Literal

from parley.process.timeouts import at_most

LifecycleState = Literal["starting", "ready", "draining"]
HANG_TIMEOUT = 30.0
"""Seconds without an event loop tick after which the service is reported as hung."""


class Lifecycle:
    """``starting`` → ``ready`` → ``draining``. Can be read from any thread."""

    def __init__(self) -> None:
        self.state: LifecycleState = "starting"
        self.started_at = time.monotonic()
        self.last_tick = time.monotonic()
        self.unavailable: str | None = None
        """Why a started service cannot serve, such as ``database_read_only``; reported by ``/ready``."""
        self.waiting_for: str | None = None
        """What the start waits for, such as ``postgres at db:5432``; reported by ``/ready``."""
        self.drain_started = asyncio.Event()
        """Set when draining begins; open streams wait for it to send their final event."""
        self.open_requests = 0
        self.open_streams = 0
        """Open event streams and WebSockets."""
        self._server_expected = False
        self._idle = asyncio.Event()
        self._idle.set()

    def expect_server(self) -> None:
        """Stay ``starting`` until ``mark_ready`` is called: the port is still closed after wiring."""
        self._server_expected = True

    def wait_for(self, dependency: str | None) -> None:
        """Report what the start waits for, or None when it no longer waits."""
        self.waiting_for = dependency

    def mark_wired(self) -> None:
        """Become ``ready`` after wiring, unless a server is expected."""
        if not self._server_expected:
            self.mark_ready()

    def mark_ready(self) -> None:
        """Become ``ready``."""
        self.state = "ready"

    def start_draining(self) -> None:
        """Become ``draining`` and notify open streams."""
        self.state = "draining"
        self.drain_started.set()

    def readiness(self) -> tuple[bool, dict[str, str]]:
        """Return whether this instance accepts requests, and the body of ``/ready``."""
        if self.state == "ready" and self.unavailable is not None:
            return False, {"status": "unavailable", "reason": self.unavailable}
        if self.state == "starting" and self.waiting_for is not None:
            return False, {"status": "starting", "waiting_for": self.waiting_for}
        return self.state == "ready", {"status": self.state}

    def alive(self) -> bool:
        """Return whether the event loop has ticked recently."""
        return time.monotonic() - self.last_tick < HANG_TIMEOUT

    def uptime(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self.started_at

    @contextlib.contextmanager
    def request(self) -> Iterator[None]:
        """Count a request as open while the context is open."""
        self.begin_request()
        try:
            yield
        finally:
            self.end_request()

    def begin_request(self) -> None:
        """Count a request as open; for hot paths that cannot afford a context manager."""
        self.open_requests += 1
        self._idle.clear()

    def end_request(self) -> None:
        """Count a request as finished."""
        self.open_requests -= 1
        if not self.open_requests:
            self._idle.set()

    async def wait_idle(self, timeout: float) -> bool:
        """Wait until no request is open; return False after ``timeout`` seconds."""
        async with at_most(timeout) as wait:
            await self._idle.wait()
        return not wait.expired
