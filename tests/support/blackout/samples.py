"""Memory, descriptors and tasks of processes over time."""

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from parley_testing.faults.processes import resident_bytes
from parley_testing.stacks.separate_processes import SeparateStack
from parley_testing.stacks.service_process import ServiceProcess

INTERVAL = 5.0
MIB = 1024 * 1024
MAX_SLOPE = 1.0
"""MiB by which a process may grow in a minute."""
MAX_MORE = 25
"""Descriptors or tasks that a process may have at the end beyond those at the beginning, under the same load."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at a process."""

    time: float
    pid: int
    memory: float
    """MiB."""
    descriptors: int
    tasks: int


class Sampler:
    """Samples the processes of a stack; judges those that live to the end."""

    def __init__(self, stack: SeparateStack) -> None:
        self._processes = stack.everything
        self._samples: dict[str, list[Sample]] = {process.name: [] for process in self._processes}

    @contextlib.asynccontextmanager
    async def sampling(self) -> AsyncIterator[None]:
        """Sample while the context is open."""
        await self.sample()
        task = asyncio.create_task(self._sample_on())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def sample(self) -> None:
        """Look at each process that answers."""
        await asyncio.gather(*(self._look(process) for process in self._processes))

    async def _sample_on(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            await self.sample()

    async def _look(self, process: ServiceProcess) -> None:
        # A process that is stopped or being restarted has no sample.
        with contextlib.suppress(Exception):
            pid = process.child.pid
            async with asyncio.timeout(INTERVAL):
                tasks = int(await process.metric("process_event_loop_tasks"))
            descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
            memory = resident_bytes(pid) / MIB
            self._samples[process.name].append(Sample(time.monotonic(), pid, memory, descriptors, tasks))

    def lasting(self) -> dict[str, list[Sample]]:
        """Return the samples of the processes that lived from the first sample to the last."""
        return {name: found for name, found in self._samples.items() if len({sample.pid for sample in found}) == 1}

    def report(self) -> str:
        """Return a table of the processes that lived to the end."""
        lines = ["| process | MiB a minute | MiB at the end | descriptors | tasks |", "|---|---|---|---|---|"]
        for name, found in self.lasting().items():
            first, last = found[0], found[-1]
            lines.append(
                f"| {name} | {slope(found):+.2f} | {last.memory:.0f} | {first.descriptors} → {last.descriptors} "
                f"| {first.tasks} → {last.tasks} |"
            )
        return "\n".join(lines)

    def problems(self) -> list[str]:
        """Return what grows."""
        lasting = self.lasting()
        problems = [] if lasting else ["no process was looked at from the beginning to the end"]
        for name, found in lasting.items():
            first, last = found[0], found[-1]
            if slope(found) > MAX_SLOPE:
                problems.append(f"{name} grows by {slope(found):.2f} MiB a minute")
            if last.descriptors - first.descriptors > MAX_MORE:
                problems.append(f"{name} has {last.descriptors} descriptors, {first.descriptors} at the beginning")
            if last.tasks - first.tasks > MAX_MORE:
                problems.append(f"{name} has {last.tasks} tasks, {first.tasks} at the beginning")
        return problems


def slope(samples: list[Sample]) -> float:
    """Return the growth of memory in MiB a minute, of the second half of the samples: caches fill at first."""
    late = samples[len(samples) // 2 :]
    if len({sample.time for sample in late}) < 2:
        return 0.0
    found = statistics.linear_regression([s.time / 60 for s in late], [s.memory for s in late])
    return found.slope
