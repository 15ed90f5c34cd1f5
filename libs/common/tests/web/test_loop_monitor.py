"""Event loop monitor."""

import asyncio
from functools import partial

from parley.observability.metrics import Metrics
from parley.web.lifecycle import Lifecycle
from parley.web.loop_monitor import monitor_loop
from parley_testing import eventually


async def test_each_tick_measures_the_lag_and_marks_the_process_alive() -> None:
    metrics, lifecycle = Metrics("chat", "1", "-"), Lifecycle()
    lifecycle.last_tick -= 100
    assert not lifecycle.alive()
    monitor = asyncio.create_task(monitor_loop(metrics, lifecycle, interval=0.01))
    try:
        await eventually(lambda: metrics.registry.get_sample_value("process_event_loop_lag_seconds_count") or 0)
    finally:
        monitor.cancel()
    assert lifecycle.alive()


def test_the_tasks_of_the_loop_are_counted_when_another_thread_reads_them() -> None:
    # A loop of its own: tasks of other tests come and go in the loop that tests share.
    asyncio.run(_count_tasks())


async def _count_tasks() -> None:
    metrics = Metrics("chat", "1", "-")
    async with asyncio.TaskGroup() as group:
        monitor = group.create_task(monitor_loop(metrics, Lifecycle()))
        await asyncio.sleep(0)
        read = partial(metrics.registry.get_sample_value, "process_event_loop_tasks")
        before = read() or 0
        waiting = [group.create_task(asyncio.sleep(60)) for _ in range(3)]
        assert await asyncio.to_thread(read) == before + 3
        for task in (*waiting, monitor):
            task.cancel()
