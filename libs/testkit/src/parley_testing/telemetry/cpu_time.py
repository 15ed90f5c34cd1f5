"""CPU time of processes, and how long they waited for a processor."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

TICK = os.sysconf("SC_CLK_TCK")


class MainThreadTime(NamedTuple):
    """Seconds for which the main threads of some processes ran, and for which they waited for a processor."""

    ran: float
    waited: float

    def slowdown_since(self, before: "MainThreadTime") -> float:
        """Return how many times longer everything took than on a machine with a free processor."""
        ran, waited = self.ran - before.ran, self.waited - before.waited
        return 1 + waited / ran if ran > 0 else 1


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of a process and its descendants."""
    return sum(_own_cpu(each) for each in _process_tree(pid))


def main_thread_time(pid: int) -> MainThreadTime:
    """Return the times of the main threads of a process and its descendants."""
    times = [_main_thread_time(each) for each in _process_tree(pid)]
    return MainThreadTime(sum(each.ran for each in times), sum(each.waited for each in times))


def _own_cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def _main_thread_time(pid: int) -> MainThreadTime:
    try:
        ran, waited, _ = Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()
    except (FileNotFoundError, ProcessLookupError):  # the process has ended, or the kernel does not keep these times
        return MainThreadTime(0, 0)
    return MainThreadTime(int(ran) / 1e9, int(waited) / 1e9)


def _process_tree(pid: int) -> Iterator[int]:
    yield pid
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a process or a thread has ended
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _process_tree(int(child))
