"""Connections of the turn store: requests queue, ends of turns come first, background work does not queue."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from chat.storage.postgres_turns import PostgresTurnStore
from chat_testing.turns import make_new_turn, make_outcome, make_turn
from parley.errors import Overloaded
from parley.ids import new_id
from parley.storage.connection_queue import ConnectionQueue
from parley.storage.postgres import Pool


class StatementPool:
    """A pool that records the statements, and finds no row."""

    def __init__(self) -> None:
        self.statements: list[str] = []

    @contextlib.asynccontextmanager
    async def acquire(self, *, timeout: float) -> AsyncIterator["StatementPool"]:
        assert timeout > 0
        yield self

    async def fetchrow(self, query: str, *_: Any) -> None:
        self.statements.append("end" if "key_lock" in query else "other")

    async def execute(self, query: str, *_: Any) -> str:
        self.statements.append(query)
        return "UPDATE 0"


async def test_a_turn_is_refused_at_once_when_too_many_requests_wait_for_a_connection() -> None:
    queue = ConnectionQueue(2, max_waiting=0)
    store = PostgresTurnStore(cast("Pool", StatementPool()), lambda: None, queue)
    await queue.acquire()
    with pytest.raises(Overloaded):
        await store.admit(make_new_turn(), new_id(), None)


async def test_the_end_of_a_turn_is_stored_before_the_requests_that_wait() -> None:
    pool, queue = StatementPool(), ConnectionQueue(2)
    store = PostgresTurnStore(cast("Pool", pool), lambda: None, queue)
    await queue.acquire()
    request = asyncio.create_task(store.get(new_id()))
    await asyncio.sleep(0)
    end = asyncio.create_task(store.finish(make_turn(), make_outcome("done")))
    await asyncio.sleep(0)
    queue.release()
    await asyncio.gather(request, end)
    assert pool.statements[0] == "end"


async def test_background_work_needs_no_place_in_the_queue() -> None:
    pool, queue = StatementPool(), ConnectionQueue(2)
    store = PostgresTurnStore(cast("Pool", pool), lambda: None, queue)
    await queue.acquire()
    async with store.connection() as connection:
        await connection.execute("renew the lease")
    assert pool.statements == ["renew the lease"]
