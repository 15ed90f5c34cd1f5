"""Requests that wait for a slot."""

import asyncio

import pytest

from gateway.upstream import slot_queue
from gateway.upstream.slot_queue import SlotQueue
from parley.errors import Overloaded


async def wait_for_slots(queue: SlotQueue, count: int) -> list[asyncio.Task[None]]:
    """Start requests that wait."""
    waiting = [asyncio.create_task(queue.wait()) for _ in range(count)]
    await asyncio.sleep(0)
    return waiting


async def test_requests_are_admitted_in_the_order_of_their_arrival() -> None:
    queue = SlotQueue(2)
    first, second = await wait_for_slots(queue, 2)
    queue.admit_next()
    await first
    assert not second.done()
    queue.admit_next()
    await second


async def test_a_full_queue_refuses_at_once() -> None:
    queue = SlotQueue(1)
    (waiting,) = await wait_for_slots(queue, 1)
    with pytest.raises(Overloaded):
        await queue.wait()
    queue.admit_next()
    await waiting


async def test_requests_that_waited_too_long_leave_the_queue_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = SlotQueue(2)
    monkeypatch.setattr(slot_queue, "TIMEOUT", 0)
    for waiting in await wait_for_slots(queue, 2):
        with pytest.raises(Overloaded):
            await waiting
    monkeypatch.undo()
    (waiting,) = await wait_for_slots(queue, 1)
    queue.admit_next()
    await waiting


async def test_clients_that_disconnect_leave_the_queue_to_others() -> None:
    queue = SlotQueue(1)
    for _ in range(3):
        (waiting,) = await wait_for_slots(queue, 1)
        waiting.cancel()
        await asyncio.wait({waiting})


@pytest.mark.parametrize("slot_first", [True, False])
async def test_the_slot_of_a_client_that_disconnects_in_that_moment_goes_to_the_next(slot_first: bool) -> None:
    queue = SlotQueue(2)
    gone, waiting = await wait_for_slots(queue, 2)
    for step in (queue.admit_next, gone.cancel) if slot_first else (gone.cancel, queue.admit_next):
        step()
    await waiting
    assert gone.cancelled() or slot_first
