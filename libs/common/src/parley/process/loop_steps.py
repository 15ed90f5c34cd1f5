"""Steps of background loops: a failed step is logged, and the loop goes on with the next one."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from parley.errors import DependencyUnavailable

log = structlog.get_logger()


async def run_step(name: str, step: Callable[[], Awaitable[object]]) -> bool:
    """Run one step of a loop; return whether it succeeded.

    An exception must not end a loop that renews, recovers or cleans up: its restart could take longer than a lease.
    """
    try:
        await step()
    except DependencyUnavailable as error:
        log.warning("step_postponed", step=name, reason=str(error))
    except Exception:
        log.exception("step_failed", step=name)
    else:
        return True
    return False


async def run_batches(batch: Callable[[], Awaitable[int]]) -> None:
    """Run batch after batch until one has done nothing. Other tasks run in between."""
    while await batch():
        await asyncio.sleep(0)
