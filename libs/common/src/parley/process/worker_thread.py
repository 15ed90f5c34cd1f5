"""Worker thread: CPU-bound work outside the event loop, one job at a time, with a bounded queue that users share."""

import asyncio
import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from parley.process.client_slots import ClientSlots
from parley.process.current_user import current_user
from parley.process.fair_slots import FairSlots

P = ParamSpec("P")
T = TypeVar("T")

MAX_WAITING_JOBS = 64
"""Jobs that may wait for one worker thread."""
MAX_JOBS_OF_USER = 32
"""Jobs of one user that run or wait."""
TOO_MANY_JOBS = "Too many requests wait for a processor. Try again later."
SWITCH_INTERVAL = 0.0005
"""Seconds that the event loop waits for Python's lock while a job runs, each time it wakes up.

With the default of 5 ms, a request that wakes up six times took 33 to 109 ms beside a job (99th percentile on a busy
machine), with this value 4 to 14 ms. The jobs took as long as before.
"""


class WorkerThread:
    """Runs jobs one after the other in a thread of its own, of each user in turn.

    Python lets the event loop run between two bytecodes of a job, but not during one call of a C function: a job must
    process large inputs in pieces. One thread for each kind of work keeps the number of competing threads small. The
    interval at which threads switch is shortened for the whole process.
    """

    def __init__(self, name: str) -> None:
        sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_INTERVAL))
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._places = ClientSlots(MAX_WAITING_JOBS + 1, MAX_JOBS_OF_USER, TOO_MANY_JOBS)
        self._turns = FairSlots()

    async def run(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return the result of ``job``; raises Overloaded when too many jobs wait, of all users or of this one.

        A cancelled caller's job is not started, or ends by itself if it has started.
        """
        user = current_user()
        with self._places.take(user):
            async with self._turns.hold(user):
                call = functools.partial(job, *args, **kwargs)
                return await asyncio.get_running_loop().run_in_executor(self._executor, call)

    @property
    def jobs(self) -> int:
        """Jobs that run or wait."""
        return self._places.taken

    def close(self) -> None:
        """Start no further job."""
        self._executor.shutdown(wait=False, cancel_futures=True)


@contextlib.contextmanager
def worker_thread(name: str) -> Iterator[WorkerThread]:
    """Open a worker thread for the duration of the context."""
    worker = WorkerThread(name)
    try:
        yield worker
    finally:
        worker.close()
