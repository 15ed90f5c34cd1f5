"""Event loop monitor: measures lag and reports liveness."""

import asyncio
import time

from parley.observability.metrics import Metrics
from parley.web.lifecycle import Lifecycle

TICK_INTERVAL = 1.0


async def monitor_loop(metrics: Metrics, lifecycle: Lifecycle, *, interval: float = TICK_INTERVAL) -> None:
    """Record the event loop's lag every ``interval`` seconds, and the time of the tick in ``lifecycle``; never ends.

    The loop's tasks are counted when the metrics are read, which another thread does.
    """
    loop = asyncio.get_running_loop()
    metrics.loop_tasks.set_function(lambda: len(asyncio.all_tasks(loop)))
    while True:
        due = time.monotonic() + interval
        await asyncio.sleep(interval)
        metrics.loop_lag.observe(max(0.0, time.monotonic() - due))
        lifecycle.last_tick = time.monotonic()
