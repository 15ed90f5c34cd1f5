"""Stop signal of an import: the process drains, the time is over, or the client has left."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Literal

from parley.errors import Draining, InvalidRequest, Overloaded, ParleyError
from parley.process.timeouts import at_most

StopReason = Literal["draining", "timeout", "client_left"]


class StopSignal:
    """Tells whether an import must stop. ``timeout``: seconds from now."""

    def __init__(
        self, drain_started: asyncio.Event, client_left: Callable[[], Awaitable[bool]], timeout: float
    ) -> None:
        self._drain_started, self._client_left = drain_started, client_left
        self._loop = asyncio.get_running_loop()
        self._deadline = self._loop.time() + timeout

    async def reason(self) -> StopReason | None:
        """Return why the import must stop, or None."""
        if self._drain_started.is_set():
            return "draining"
        if self._loop.time() > self._deadline:
            return "timeout"
        return "client_left" if await self._client_left() else None

    @contextlib.asynccontextmanager
    async def deadline(self) -> AsyncIterator[None]:
        """Raise the error of a timeout when the context is open at the deadline."""
        async with at_most(self._deadline - self._loop.time()) as wait:
            yield
        if wait.expired:
            raise refusal("timeout")


def refusal(reason: StopReason) -> ParleyError:
    """Return the error of an import that stopped before anything was stored."""
    if reason == "draining":
        return Draining()
    if reason == "timeout":
        return Overloaded("The import took too long. Send fewer conversations, or try again later.")
    return InvalidRequest("The client closed the connection before the import was complete.")
