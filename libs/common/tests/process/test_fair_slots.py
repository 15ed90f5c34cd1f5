"""Slots that clients get in turns."""

import asyncio
from uuid import UUID

import pytest

from parley.errors import Overloaded
from parley.ids import new_id
from parley.process.fair_slots import FairSlots
from parley.process.locks import held_within


class Visitors:
    """Calls that hold the only slot for a moment, in the order in which they got it."""

    def __init__(self) -> None:
        self.slots, self.order, self.go = FairSlots(), list[str](), asyncio.Event()

    def visit(self, user_id: UUID, name: str) -> "asyncio.Task[None]":
        return asyncio.create_task(self._visit(user_id, name))

    async def _visit(self, user_id: UUID, name: str) -> None:
        async with self.slots.hold(user_id):
            self.order.append(name)
            await self.go.wait()


async def test_clients_get_the_slot_in_turns_and_each_in_the_order_of_its_calls() -> None:
    visitors, ada, bob, eve = Visitors(), new_id(), new_id(), new_id()
    names = [(ada, "a1"), (ada, "a2"), (ada, "a3"), (bob, "b1"), (bob, "b2"), (eve, "e1")]
    tasks = [visitors.visit(user_id, name) for user_id, name in names]
    await asyncio.sleep(0)
    visitors.go.set()
    await asyncio.gather(*tasks)
    assert visitors.order == ["a1", "b1", "e1", "a2", "b2", "a3"]


async def test_a_cancelled_call_passes_the_slot_on() -> None:
    visitors, ada, bob = Visitors(), new_id(), new_id()
    tasks = [visitors.visit(ada, "a1"), visitors.visit(bob, "b1"), visitors.visit(ada, "a2"), visitors.visit(bob, "b2")]
    await asyncio.sleep(0)
    tasks[1].cancel()  # waits
    tasks[0].cancel()  # holds the slot
    await asyncio.wait(tasks[:2])
    tasks[3].cancel()  # was given the slot, or waits
    visitors.go.set()
    await asyncio.wait(tasks)
    assert visitors.order[0] == "a1"
    assert visitors.order[-1] == "a2"
    async with asyncio.timeout(5), visitors.slots.hold(bob):
        pass


async def test_a_call_that_is_cancelled_just_when_it_gets_the_slot_passes_it_on() -> None:
    visitors, ada, bob = Visitors(), new_id(), new_id()
    first, second, third = (visitors.visit(user, name) for user, name in ((ada, "a1"), (bob, "b1"), (ada, "a2")))
    await asyncio.sleep(0)
    visitors.go.set()
    await first  # has given the slot to the second, which has not run since
    second.cancel()
    await asyncio.wait([second, third])
    assert visitors.order[-1] == "a2"
    assert third.exception() is None


async def test_as_many_clients_hold_a_slot_as_there_are_slots() -> None:
    slots, held, most = FairSlots(2), 0, 0

    async def hold(client: int) -> None:
        nonlocal held, most
        async with slots.hold(client % 3):
            held += 1
            most = max(most, held)
            await asyncio.sleep(0)
            held -= 1

    await asyncio.gather(*(hold(n) for n in range(12)))
    assert (held, most) == (0, 2)


async def test_a_call_that_needs_many_slots_is_not_overtaken() -> None:
    slots, order = FairSlots(10), list[str]()

    async def take(client: str, count: int) -> None:
        await slots.acquire(client, count)
        order.append(client)

    await take("ada", 8)
    waiting = [asyncio.create_task(take(client, count)) for client, count in (("bob", 5), ("eve", 1))]
    await asyncio.sleep(0)
    assert order == ["ada"]
    slots.release("ada", 8)
    await asyncio.gather(*waiting)
    assert order == ["ada", "bob", "eve"]


async def test_a_client_that_holds_as_much_as_it_may_does_not_hold_up_the_others() -> None:
    slots = FairSlots(10, of_client=5)
    await slots.acquire("ada", 4)
    waits = asyncio.create_task(slots.acquire("ada", 4))
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await slots.acquire("bob", 5)
    assert not waits.done()
    slots.release("ada", 4)
    async with asyncio.timeout(5):
        await waits


async def test_a_call_that_needs_no_slot_does_not_wait() -> None:
    slots = FairSlots(10, of_client=5)
    await slots.acquire("ada", 5)
    await slots.acquire("bob", 5)
    waits = asyncio.create_task(slots.acquire("ada", 5))
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await slots.acquire("ada", 0)
    assert not waits.done()
    slots.release("ada", 5)
    async with asyncio.timeout(5):
        await waits


async def test_a_large_call_that_is_cancelled_lets_the_next_one_pass() -> None:
    slots = FairSlots(10)
    await slots.acquire("ada", 8)
    large, small = (asyncio.create_task(slots.acquire(client, count)) for client, count in (("bob", 5), ("eve", 2)))
    await asyncio.sleep(0)
    large.cancel()
    async with asyncio.timeout(5):
        await small
    assert large.cancelled()


async def test_a_wait_that_is_too_long_is_refused_and_leaves_no_trace() -> None:
    slots, ada, bob = FairSlots(), new_id(), new_id()
    async with held_within(60, slots.hold(ada), "busy"):
        with pytest.raises(Overloaded, match="busy"):
            async with held_within(0.001, slots.hold(bob), "busy"):
                pass
    async with held_within(60, slots.hold(bob), "busy"), asyncio.timeout(60):
        pass
