"""Periodic work on many items, in small batches so that the event loop stays responsive."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

BATCH_SIZE = 100
Item = TypeVar("Item")


async def spread_over(seconds: float, items: Sequence[Item]) -> AsyncIterator[Sequence[Item]]:
    """Yield the items in batches, with pauses that add up to ``seconds``. Without items, only pause."""
    for start in range(0, len(items), BATCH_SIZE):
        batch = items[start : start + BATCH_SIZE]
        yield batch
        await asyncio.sleep(seconds * len(batch) / len(items))
    if not items:
        await asyncio.sleep(seconds)
