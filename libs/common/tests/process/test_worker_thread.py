"""Worker threads."""

import asyncio
import threading

import pytest

from parley.errors import Overloaded
from parley.process.current_user import work_for
from parley.process.worker_thread import MAX_JOBS_OF_USER, MAX_WAITING_JOBS, WorkerThread, worker_thread
from parley_testing import eventually


async def test_jobs_run_one_after_the_other_outside_of_the_event_loop() -> None:
    active: list[str] = []

    def job(name: str) -> tuple[str, bool]:
        active.append(name)
        alone = len(active) == 1 and threading.current_thread() is not threading.main_thread()
        active.remove(name)
        return name, alone

    with worker_thread("test") as worker:
        assert await asyncio.gather(*(worker.run(job, name) for name in "abc")) == [(name, True) for name in "abc"]


async def test_an_exception_of_a_job_reaches_its_caller() -> None:
    with worker_thread("test") as worker, pytest.raises(ZeroDivisionError):
        await worker.run(lambda: 1 / 0)


async def test_jobs_beyond_the_queue_are_refused_and_cancelled_ones_are_not_started() -> None:
    release, started = threading.Event(), list[int]()
    with worker_thread("test") as worker:
        blocking = asyncio.create_task(worker.run(release.wait))
        waiting = [asyncio.create_task(worker.run(started.append, number)) for number in range(MAX_WAITING_JOBS)]
        await eventually(lambda: worker.jobs == MAX_WAITING_JOBS + 1)
        with pytest.raises(Overloaded):
            await worker.run(started.append, -1)
        waiting[0].cancel()
        await asyncio.wait([waiting[0]])
        await asyncio.wait(waiting[:1])
        release.set()
        await asyncio.wait([blocking, *waiting])
        assert started == list(range(1, MAX_WAITING_JOBS))


def jobs_of(user: str, worker: WorkerThread, ran: list[str], number: int) -> "list[asyncio.Task[None]]":
    work_for(user)
    return [asyncio.create_task(worker.run(ran.append, user)) for _ in range(number)]


async def test_users_get_the_thread_in_turns_and_one_has_a_share_of_the_queue() -> None:
    release, ran = threading.Event(), list[str]()
    with worker_thread("test") as worker:
        blocking = asyncio.create_task(worker.run(release.wait))
        await eventually(lambda: worker.jobs == 1)
        greedy = jobs_of("greedy", worker, ran, MAX_JOBS_OF_USER)
        await eventually(lambda: worker.jobs == 1 + MAX_JOBS_OF_USER)
        (refused,) = jobs_of("greedy", worker, ran, 1)
        with pytest.raises(Overloaded):
            await refused
        other = jobs_of("other", worker, ran, 2)
        await eventually(lambda: worker.jobs == 3 + MAX_JOBS_OF_USER)
        release.set()
        await asyncio.gather(blocking, *greedy, *other)
    assert ran[:4] == ["greedy", "other", "greedy", "other"]
