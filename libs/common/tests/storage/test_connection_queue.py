"""Queue of statements in front of a connection pool."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from parley.errors import Overloaded
from parley.storage.connection_queue import ConnectionQueue
from parley.storage.database import PostgresDatabase
from parley.storage.postgres import Pool
from parley_testing import eventually

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


async def test_a_cancelled_wait_passes_its_slot_on() -> None:
    queue = ConnectionQueue(2, timeout=FOREVER)
    await queue.acquire()
    cancelled, next_one = asyncio.create_task(queue.acquire()), asyncio.create_task(queue.acquire())
    await asyncio.sleep(0)
    queue.release()
    cancelled.cancel()
    await next_one
    assert cancelled.cancelled()
