"""Memory settings of a serving process: malloc arenas and garbage collection."""

import contextlib
import ctypes
import gc

_M_ARENA_MAX = -8
"""The parameter of ``mallopt`` that limits the number of arenas (malloc.h of glibc)."""
_YOUNG_GENERATION_SIZE = 20_000


def limit_malloc_arenas() -> None:
    """Let all threads share one glibc arena; call before the first thread starts.

    Measured on chat: 96 MB resident instead of 102. Python's lock lets one thread allocate at a time anyway.
    """
    # Other C libraries do not have mallopt.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def tune_garbage_collector() -> None:
    """Collect less often, and exclude the objects that exist now; call after all imports.

    Measured on chat with 100 streams: the defaults take a tenth of the CPU time and pause the process for 60 ms.
    """
    gc.freeze()
    gc.set_threshold(_YOUNG_GENERATION_SIZE, 20, 20)
