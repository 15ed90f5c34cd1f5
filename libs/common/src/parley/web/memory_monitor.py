"""Memory monitor: warns before the kernel ends the process for its memory."""

import contextlib
import threading
from collections.abc import Callable, Iterator

import structlog

from parley.observability.metrics import Metrics
from parley.process.memory_limit import MemoryReader, MemoryUse

log = structlog.get_logger()

CHECK_INTERVAL = 1.0
WARN_SHARE, CALM_SHARE = 0.85, 0.75
"""Shares of the limit: above the first one the process warns, and again only after its use was below the second."""


class MemoryMonitor:
    """Compares the memory in use with the limit."""

    def __init__(self, metrics: Metrics, service: str, read: Callable[[], MemoryUse | None]) -> None:
        self._metrics, self._service, self._read = metrics, service, read
        self.near_limit = False

    def check(self) -> None:
        """Record the use, and log a warning when it comes near the limit."""
        use = self._read()
        if use is None:
            return
        self._metrics.memory_used.set(use.used)
        self._metrics.memory_limit.set(use.limit)
        if not self.near_limit and use.share >= WARN_SHARE:
            self.near_limit = True
            log.warning("memory_near_limit", service=self._service, used_bytes=use.used, limit_bytes=use.limit)
        elif self.near_limit and use.share < CALM_SHARE:
            self.near_limit = False
            log.info("memory_below_limit", service=self._service, used_bytes=use.used, limit_bytes=use.limit)


@contextlib.contextmanager
def monitor_memory(metrics: Metrics, service: str, *, interval: float = CHECK_INTERVAL) -> Iterator[None]:
    """Check the memory every ``interval`` seconds, in a thread, because a blocked event loop could not."""
    monitor, stopped = MemoryMonitor(metrics, service, MemoryReader().read), threading.Event()

    def run() -> None:
        while not stopped.wait(interval):
            monitor.check()

    monitor.check()
    thread = threading.Thread(target=run, name="memory monitor", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
