"""Limits of waits, as in ``parley.process.timeouts``: this package imports nothing else of Parley."""

import asyncio
from types import TracebackType
from typing import Self


def at_most(seconds: float | None) -> "WaitLimit":
    """Limit the wait inside an ``async with`` to ``seconds``. At the limit, the block ends without an exception.

    Use it in place of ``except TimeoutError``, which also catches errors of sockets: ``OSError(ETIMEDOUT)``, with which
    the kernel reports a lost host, is a TimeoutError. Here, these pass.
    """
    return WaitLimit(seconds)


class WaitLimit:
    """The limit of one wait; ``expired`` tells whether it ended the block."""

    __slots__ = ("_timeout", "expired")

    def __init__(self, seconds: float | None) -> None:
        self._timeout = asyncio.timeout(seconds)
        self.expired = False

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        try:
            await self._timeout.__aexit__(kind, error, traceback)
        except TimeoutError:  # raised only by the timeout itself: exceptions of the block are not raised again here
            self.expired = True
        return self.expired
