"""A lock that users get in turns."""

import asyncio
from uuid import UUID

from chat.fair_lock import FairLock
from parley.ids import new_id


class Visitors:
    """Calls that hold one lock for a moment, in the order in which they got it."""

    def __init__(self) -> None:
        self.lock, self.order, self.go = FairLock(), list[str](), asyncio.Event()

    def visit(self, user_id: UUID, name: str) -> "asyncio.Task[None]":
        return asyncio.create_task(self._visit(user_id, name))

    async def _visit(self, user_id: UUID, name: str) -> None:
        async with self.lock.hold(user_id):
            self.order.append(name)
            await self.go.wait()


async def test_users_get_the_lock_in_turns_and_each_in_the_order_of_its_calls() -> None:
    visitors, ada, bob, eve = Visitors(), new_id(), new_id(), new_id()
    names = [(ada, "a1"), (ada, "a2"), (ada, "a3"), (bob, "b1"), (bob, "b2"), (eve, "e1")]
    tasks = [visitors.visit(user_id, name) for user_id, name in names]
    await asyncio.sleep(0)
    visitors.go.set()
    await asyncio.gather(*tasks)
    assert visitors.order == ["a1", "b1", "e1", "a2", "b2", "a3"]


async def test_a_cancelled_call_passes_the_lock_on() -> None:
    visitors, ada, bob = Visitors(), new_id(), new_id()
    tasks = [visitors.visit(ada, "a1"), visitors.visit(bob, "b1"), visitors.visit(ada, "a2"), visitors.visit(bob, "b2")]
    await asyncio.sleep(0)
    tasks[1].cancel()  # waits
    tasks[0].cancel()  # holds the lock
    await asyncio.wait(tasks[:2])
    tasks[3].cancel()  # was given the lock, or waits
    visitors.go.set()
    await asyncio.wait(tasks)
    assert visitors.order[0] == "a1"
    assert visitors.order[-1] == "a2"
    async with asyncio.timeout(5), visitors.lock.hold(bob):
        pass


async def test_a_call_that_is_cancelled_just_when_it_gets_the_lock_passes_it_on() -> None:
    visitors, ada, bob = Visitors(), new_id(), new_id()
    first, second, third = (visitors.visit(user, name) for user, name in ((ada, "a1"), (bob, "b1"), (ada, "a2")))
    await asyncio.sleep(0)
    visitors.go.set()
    await first  # has given the lock to the second, which has not run since
    second.cancel()
    await asyncio.wait([second, third])
    assert visitors.order[-1] == "a2"
    assert third.exception() is None
