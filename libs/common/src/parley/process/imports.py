"""Blocks optional imports to save memory."""

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def block(module: str) -> Iterator[None]:
    """Make imports of an optional module fail while the context is open; a module that is loaded already stays."""
    if module in sys.modules:
        yield
        return
    # The import system treats None as "not installed".
    sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[module]
