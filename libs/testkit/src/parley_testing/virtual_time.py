"""Virtual time: an event loop that skips its waits, for tests of delays and timeouts without sockets."""

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

P = ParamSpec("P")


class _SkippingSelector(selectors.DefaultSelector):
    """Advances the clock by the timeout instead of waiting."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        if not found and timeout is None:
            raise AssertionError("The test waits for ever: no task is ready, and no timer is set.")
        self.now += timeout or 0.0
        return found


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose ``time()`` passes only while all tasks wait."""

    def __init__(self) -> None:
        """Start at the time 0."""
        self._skipping = _SkippingSelector()
        super().__init__(self._skipping)

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._skipping.now


def virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an async test on a ``VirtualTimeLoop``."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run
