"""One heap for all threads."""

import contextlib
import ctypes

_M_ARENA_MAX = -8
"""glibc's name for the limit, from malloc.h."""


def share_one_heap() -> None:
    """Keep glibc from giving each thread a heap of its own: call before the first thread starts.

    Measured on chat: 96 MB resident instead of 102. Python's lock lets one thread allocate at a time anyway.
    """
    # Other C libraries have no such call.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
