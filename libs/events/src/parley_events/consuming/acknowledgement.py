"""Acknowledgements, which may be lost: the broker delivers the message again."""

import asyncio
import contextlib
import contextvars
from collections import deque
from collections.abc import Coroutine, Iterable

from parley_events.connection import OUTAGES
from parley_events.consuming.received_messages import ReceivedMessage

ACKNOWLEDGE_TIMEOUT = 5.0


async def send(acknowledgement: Coroutine[object, object, None]) -> None:
    """Send an acknowledgement and wait until it is written."""
    with contextlib.suppress(*OUTAGES):
        async with asyncio.timeout(ACKNOWLEDGE_TIMEOUT):
            await acknowledgement


class Acknowledger:
    """Acknowledges messages in the background: no handler waits until an acknowledgement is written."""

    def __init__(self) -> None:
        self._messages: deque[ReceivedMessage] = deque()  # nosemgrep: unbounded-queue - prefetch limits it
        self._task: asyncio.Task[None] | None = None

    def add(self, messages: Iterable[ReceivedMessage]) -> None:
        """Acknowledge messages soon."""
        self._messages.extend(messages)
        if self._messages and self._task is None:
            self._task = asyncio.create_task(self._send(), context=contextvars.Context())

    async def finish(self) -> None:
        """Wait until all acknowledgements are sent, at most ``ACKNOWLEDGE_TIMEOUT`` seconds; give up the others."""
        if (task := self._task) is not None:
            await asyncio.wait({task}, timeout=ACKNOWLEDGE_TIMEOUT)
            task.cancel()

    async def _send(self) -> None:
        try:
            while self._messages:
                await self._send_until_closed()
        finally:
            self._task = None

    async def _send_until_closed(self) -> None:
        """Send what waits. Drop a message whose channel is closed; try again after a time without progress."""
        try:
            async with asyncio.timeout(ACKNOWLEDGE_TIMEOUT) as limit:
                while self._messages:
                    await self._messages[0].ack(wait=False)
                    self._messages.popleft()
        except OUTAGES:
            if not limit.expired():
                self._messages.popleft()
