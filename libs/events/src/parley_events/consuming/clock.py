"""The clock of a subscriber."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeAlias

Clock: TypeAlias = Callable[[], float]
"""Returns seconds since 1970."""


def wall_clock() -> Clock:
    """Return a clock in seconds since 1970 that runs with the event loop's, so that it never jumps."""
    loop_time = asyncio.get_running_loop().time
    offset = time.time() - loop_time()
    return lambda: loop_time() + offset
