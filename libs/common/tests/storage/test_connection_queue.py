"""Queue of statements in front of a connection pool."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from parley.errors import Overloaded
from parley.process.current_user import work_for
from parley.storage.connection_queue import MAX_WAITING_OF_USER, OVERLOAD_TIMEOUT, QUEUE_TIMEOUT, ConnectionQueue
from parley.storage.database import PostgresDatabase
from parley.storage.postgres import Pool
from parley_testing import eventually
from parley_testing.virtual_time import virtual_time

FOREVER = 600.0


class SlowPool:
    """A pool that refuses, as asyncpg's does in time, when all connections are lent; statements end on ``finish``."""

    def __init__(self, size: int) -> None:
        self.size, self.lent, self.most = size, 0, 0
        self.finish = asyncio.Event()

    @contextlib.asynccontextmanager
    async def acquire(self, *, timeout: float) -> AsyncIterator["SlowPool"]:
        if self.lent == self.size:
            raise TimeoutError(f"no connection within {timeout} s")
        self.lent += 1
        self.most = max(self.most, self.lent)
        try:
            yield self
        finally:
            self.lent -= 1

    async def fetchval(self, query: str) -> str:
        await self.finish.wait()
        return query


def queued(pool: SlowPool, queue: ConnectionQueue, **options: Any) -> PostgresDatabase:
    return PostgresDatabase(cast("Pool", pool), queue=queue, **options)


async def test_requests_wait_for_a_connection_when_all_are_lent() -> None:
    pool, queue = SlowPool(5), ConnectionQueue(5)
    database = queued(pool, queue)
    statements = [asyncio.create_task(database.value(str(number))) for number in range(100)]
    await eventually(lambda: pool.lent == 4)
    pool.finish.set()
    assert await asyncio.gather(*statements) == [str(number) for number in range(100)]
    assert pool.most == 4


async def test_background_work_gets_a_connection_while_requests_wait() -> None:
    pool, queue = SlowPool(5), ConnectionQueue(5)
    database, background = queued(pool, queue), PostgresDatabase(cast("Pool", pool))
    statements = [asyncio.create_task(database.value("SELECT 1")) for _ in range(100)]
    await eventually(lambda: pool.lent == 4)
    async with background.connection():
        assert pool.lent == 5
    pool.finish.set()
    await asyncio.gather(*statements)


async def test_urgent_statements_are_before_waiting_ones() -> None:
    queue, order = ConnectionQueue(2), list[str]()

    async def statement(name: str, *, urgent: bool) -> None:
        await queue.acquire(urgent=urgent)
        order.append(name)
        queue.release()

    await queue.acquire()
    tasks = [asyncio.create_task(statement(name, urgent=name == "end")) for name in ("first", "second", "end")]
    await asyncio.sleep(0)
    queue.release()
    await asyncio.gather(*tasks)
    assert order == ["end", "first", "second"]


async def test_too_many_waiting_statements_are_refused_with_retry_after() -> None:
    queue = ConnectionQueue(2, max_waiting=1, timeout=FOREVER)
    await queue.acquire()
    waiting = asyncio.create_task(queue.acquire())
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as refused:
        await queue.acquire()
    assert refused.value.headers["Retry-After"] == "1"
    queue.release()
    await waiting


async def test_a_wait_that_is_too_long_is_refused_with_retry_after_and_leaves_no_trace() -> None:
    queue = ConnectionQueue(2, timeout=0.001)
    await queue.acquire()
    with pytest.raises(Overloaded) as refused:
        await queue.acquire()
    assert refused.value.headers["Retry-After"] == "1"
    queue.release()
    await queue.acquire()


async def refused_after(queue: ConnectionQueue, **options: bool) -> float:
    """Return the seconds after which a statement is refused."""
    began = asyncio.get_running_loop().time()
    with pytest.raises(Overloaded):
        await queue.acquire(**options)
    return asyncio.get_running_loop().time() - began


@virtual_time
async def test_statements_wait_less_while_the_load_is_too_high_for_long() -> None:
    queue = ConnectionQueue(2)
    await queue.acquire()
    assert await refused_after(queue) == pytest.approx(QUEUE_TIMEOUT)
    assert await refused_after(queue) == pytest.approx(OVERLOAD_TIMEOUT)
    assert await refused_after(queue, urgent=True) == pytest.approx(QUEUE_TIMEOUT)
    next_one = asyncio.create_task(queue.acquire())
    await asyncio.sleep(0)
    queue.release()  # to the one that waits: there was still no free slot
    await next_one
    assert await refused_after(queue) == pytest.approx(OVERLOAD_TIMEOUT)
    queue.release()
    await queue.acquire()
    assert await refused_after(queue) == pytest.approx(QUEUE_TIMEOUT)


async def test_a_cancelled_wait_passes_its_slot_on() -> None:
    queue = ConnectionQueue(2, timeout=FOREVER)
    await queue.acquire()
    cancelled, next_one = asyncio.create_task(queue.acquire()), asyncio.create_task(queue.acquire())
    await asyncio.sleep(0)
    queue.release()
    cancelled.cancel()
    await next_one
    assert cancelled.cancelled()


def statements_of(user: str | None, database: PostgresDatabase, number: int) -> "list[asyncio.Task[str]]":
    work_for(user)
    return [asyncio.create_task(database.value(f"{user}")) for _ in range(number)]


async def test_many_statements_of_a_user_leave_connections_to_others() -> None:
    pool, queue = SlowPool(10), ConnectionQueue(10)
    database = queued(pool, queue)
    greedy = statements_of("greedy", database, 100)
    await eventually(lambda: pool.lent == 4)
    other = statements_of("other", database, 1)
    await eventually(lambda: pool.lent == 5)
    pool.finish.set()
    await asyncio.gather(*greedy, *other)
    assert pool.most == 5


async def test_statements_of_others_overtake_those_of_a_user_who_has_the_most_connections() -> None:
    queue, order = ConnectionQueue(5), list[str | None]()

    async def statement() -> None:
        user = await queue.acquire()
        order.append(user)
        queue.release(user)

    held = []
    for user in ("greedy", "greedy", "other", "third"):
        work_for(user)
        held.append(await queue.acquire())
    tasks = []
    for user in ("greedy", "fourth"):
        work_for(user)
        tasks.append(asyncio.create_task(statement()))
    await asyncio.sleep(0)
    queue.release("other")
    await eventually(lambda: order == ["fourth"])
    queue.release("greedy")
    await asyncio.gather(*tasks)
    assert order == ["fourth", "greedy"]


async def test_a_user_without_a_connection_is_before_those_who_have_all() -> None:
    pool, queue = SlowPool(5), ConnectionQueue(5)
    database, finished = queued(pool, queue), list[str]()
    others = [task for user in ("one", "two") for task in statements_of(user, database, 50)]
    await eventually(lambda: pool.lent == 4)
    for task in (*others, *statements_of("third", database, 1)):
        task.add_done_callback(lambda done: finished.append(done.result()))
    pool.finish.set()
    await eventually(lambda: len(finished) == 101)
    assert finished.index("third") <= 4


async def test_work_of_the_service_itself_may_have_every_connection() -> None:
    pool, queue = SlowPool(10), ConnectionQueue(10)
    own = statements_of(None, queued(pool, queue), 20)
    await eventually(lambda: pool.lent == 8)
    pool.finish.set()
    await asyncio.gather(*own)


async def test_the_waiting_statements_of_a_user_are_refused_before_those_of_others() -> None:
    pool, queue = SlowPool(5), ConnectionQueue(5)
    database = queued(pool, queue)
    greedy = statements_of("greedy", database, 2 + MAX_WAITING_OF_USER)
    await asyncio.sleep(0)
    for refused in statements_of("greedy", database, 1):
        with pytest.raises(Overloaded):
            await refused
    other = statements_of("other", database, 3)
    pool.finish.set()
    await asyncio.gather(*greedy, *other)


async def test_a_cancelled_wait_of_a_user_leaves_no_trace() -> None:
    pool, queue = SlowPool(5), ConnectionQueue(5)
    database = queued(pool, queue)
    for task in statements_of("greedy", database, 10):
        await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    again = statements_of("greedy", database, 2)
    await eventually(lambda: pool.lent == 2)
    pool.finish.set()
    await asyncio.gather(*again)
