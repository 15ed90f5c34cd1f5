"""Log entries of a test, without those of services that other tests have started in the process."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from structlog import DropEvent
from structlog.testing import capture_logs
from structlog.typing import EventDict

_BLOCK: ContextVar[object] = ContextVar("block", default=None)


@contextmanager
def captured_logs() -> Iterator[list[EventDict]]:
    """Collect the entries that a block and the tasks started in it log."""
    block = object()

    def own(_logger: object, _method: str, entry: EventDict) -> EventDict:
        if _BLOCK.get() is not block:
            raise DropEvent
        return entry

    token = _BLOCK.set(block)
    try:
        with capture_logs(processors=[own]) as entries:
            yield entries
    finally:
        _BLOCK.reset(token)
