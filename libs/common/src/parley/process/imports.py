"""Keeping out of memory what nobody asked for."""

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def block(module: str) -> Iterator[None]:
    """Let what is imported inside believe that an optional module is not installed; one that is loaded stays."""
    if module in sys.modules:
        yield
        return
    # How the import system is told of an absence.
    sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[module]
