"""Acknowledgements, which may be lost."""

import asyncio
import contextlib
from collections.abc import Coroutine

from parley_events.connection import OUTAGES

ACKNOWLEDGE_TIMEOUT = 5.0


async def send(acknowledgement: Coroutine[object, object, None]) -> None:
    """Send an acknowledgement. If it is lost, the broker delivers the message again."""
    with contextlib.suppress(*OUTAGES):
        async with asyncio.timeout(ACKNOWLEDGE_TIMEOUT):
            await acknowledgement
