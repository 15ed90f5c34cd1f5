"""Stop of an import: the process drains, the time is over, the client has left, or the quota is used up."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Literal

from history.transfer.quota import USED_UP
from parley.config.plans import QuotaExceeded
from parley.errors import Draining, InvalidRequest, Overloaded, ParleyError
from parley.process.timeouts import at_most

StopReason = Literal["draining", "timeout", "client_left", "quota_exceeded"]


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


def stop_detail(reason: StopReason) -> str:
    """Return why a conversation is not imported, for the report of an import that stopped before it."""
    why = USED_UP if reason == "quota_exceeded" else "The import was stopped before this conversation."
    return f"{why} It and the later ones of the file were not imported."


def refusal(reason: StopReason) -> ParleyError:
    """Return the error of an import that stopped before anything was stored."""
    if reason == "draining":
        return Draining()
    if reason == "timeout":
        return Overloaded("The import took too long. Send fewer conversations, or try again later.")
    if reason == "quota_exceeded":
        return QuotaExceeded(USED_UP)
    return InvalidRequest("The client closed the connection before the import was complete.")
