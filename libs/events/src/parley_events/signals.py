"""SIGTERM as a request to stop."""

import asyncio
import contextlib
import signal
import threading
from collections.abc import Iterator

_stops: dict[asyncio.AbstractEventLoop, set[asyncio.Event]] = {}
"""What SIGTERM sets, by the event loop that handles it: several subscribers of a process stop together."""


@contextlib.contextmanager
def stop_on_sigterm(stop: asyncio.Event) -> Iterator[None]:
    """Set ``stop`` on SIGTERM while the context is entered, unless the application handles SIGTERM itself."""
    loop = asyncio.get_running_loop()
    if loop not in _stops and not _can_listen(loop):
        yield
        return
    stops = _stops.setdefault(loop, set())
    stops.add(stop)
    try:
        yield
    finally:
        stops.discard(stop)
        if not stops:
            del _stops[loop]
            loop.remove_signal_handler(signal.SIGTERM)


def _can_listen(loop: asyncio.AbstractEventLoop) -> bool:
    """Handle SIGTERM on the event loop; return False if it is the application's, or the loop has no signals."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return False
    try:
        loop.add_signal_handler(signal.SIGTERM, _stop_all, loop)
    except (NotImplementedError, RuntimeError):  # an event loop without signals, such as Windows'
        return False
    return True


def _stop_all(loop: asyncio.AbstractEventLoop) -> None:
    for stop in _stops.get(loop, ()):
        stop.set()
