"""Slots of uploads: which upload ends for another one, who comes first, and who is refused."""

import asyncio
from collections.abc import AsyncIterator, Iterable

import pytest

from parley.errors import Overloaded
from parley.process.upload_slots import (
    MAX_DELAY,
    MAX_WAITING,
    MIN_BYTES_PER_SECOND,
    SLOT_TIMEOUT,
    TOO_SLOW,
    UploadSlots,
)
from parley_testing.virtual_time import virtual_time

SECOND = bytes(MIN_BYTES_PER_SECOND)


async def _body(part: bytes, interval: float, count: int = 1_000) -> AsyncIterator[bytes]:
    for _ in range(count):
        await asyncio.sleep(interval)
        yield part


async def _upload(slots: UploadSlots, client: str, body: AsyncIterator[bytes]) -> int:
    """Receive a body and return its bytes."""
    async with slots.take(client) as slot:
        return sum([len(part) async for part in slot.paced(body, len)])
    raise AssertionError("A refused upload raises.")


def _slow(slots: UploadSlots, client: str) -> asyncio.Task[int]:
    return asyncio.create_task(_upload(slots, client, _body(b"x" * 1024, 1.0)))


async def _cancel(tasks: Iterable[asyncio.Task[int]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@virtual_time
async def test_a_slow_upload_completes_while_nobody_waits() -> None:
    slots = UploadSlots(2, 1, "Too many.")
    slow = _slow(slots, "eve")
    assert await _upload(slots, "ada", _body(SECOND, 1.0, 100)) == 100 * MIN_BYTES_PER_SECOND
    assert await slow == 1_000 * 1024


@virtual_time
async def test_the_slowest_upload_ends_for_a_client_that_waits() -> None:
    slots = UploadSlots(3, 1, "Too many.")
    slow = _slow(slots, "eve")
    silent = asyncio.create_task(_upload(slots, "mallory", _body(b"", 10_000.0)))
    fast = asyncio.create_task(_upload(slots, "bob", _body(SECOND, 1.0)))
    await asyncio.sleep(60)
    assert await _upload(slots, "ada", _body(SECOND, 1.0, 1)) == MIN_BYTES_PER_SECOND
    with pytest.raises(Overloaded) as ended:
        await silent
    assert (ended.value.detail, ended.value.headers) == (TOO_SLOW, {"Retry-After": "10"})
    assert not slow.done()
    await _cancel([slow, fast])


@virtual_time
async def test_a_client_gets_a_slot_within_its_wait_when_uploads_that_send_nothing_have_just_begun() -> None:
    slots = UploadSlots(16, 2, "Too many.")
    slow = [_slow(slots, f"eve {number // 2}") for number in range(16)]
    await asyncio.sleep(0)
    began = asyncio.get_running_loop().time()
    assert await _upload(slots, "ada", _body(b"", 0.0)) == 0
    assert MAX_DELAY <= asyncio.get_running_loop().time() - began < SLOT_TIMEOUT
    assert sum(task.done() for task in slow) == 1
    await _cancel(slow)


@virtual_time
async def test_the_second_upload_of_a_client_ends_before_the_only_one_of_another() -> None:
    slots = UploadSlots(3, 2, "Too many.")
    only = _slow(slots, "bob")
    await asyncio.sleep(60)
    two = [_slow(slots, "eve"), _slow(slots, "eve")]
    await asyncio.sleep(60)
    await _upload(slots, "ada", _body(b"", 0.0))
    assert ([task.done() for task in two].count(True), only.done()) == (1, False)
    await _cancel([only, *two])


@virtual_time
async def test_a_second_upload_of_a_client_ends_none_of_another() -> None:
    slots = UploadSlots(2, 2, "Too many.")
    slow, first = _slow(slots, "eve"), asyncio.create_task(_upload(slots, "ada", _body(SECOND, 1.0)))
    await asyncio.sleep(60)
    with pytest.raises(Overloaded) as refused:
        await _upload(slots, "ada", _body(SECOND, 1.0))
    assert (refused.value.detail, slow.done()) == ("Too many.", False)
    await _cancel([slow, first])


@virtual_time
async def test_fast_uploads_keep_their_slots_and_another_is_refused_unread() -> None:
    slots, read = UploadSlots(1, 1, "Too many."), list[int]()
    fast = asyncio.create_task(_upload(slots, "bob", _body(SECOND, 1.0)))
    await asyncio.sleep(60)

    async def body() -> AsyncIterator[bytes]:
        read.append(1)
        yield b""

    with pytest.raises(Overloaded):
        await _upload(slots, "ada", body())
    assert (read, fast.done()) == ([], False)
    await _cancel([fast])


@virtual_time
async def test_only_the_time_in_which_the_client_is_waited_for_counts() -> None:
    slots = UploadSlots(1, 1, "Too many.")

    async def slow_storage() -> None:
        async with slots.take("bob") as slot:
            async for _ in slot.paced(_body(SECOND, 0.0), len):
                await asyncio.sleep(20)

    stored = asyncio.create_task(slow_storage())
    await asyncio.sleep(60)
    with pytest.raises(Overloaded):
        await _upload(slots, "ada", _body(b"", 0.0))
    assert not stored.done()
    stored.cancel()
    await asyncio.gather(stored, return_exceptions=True)


@virtual_time
async def test_a_client_without_an_upload_comes_before_a_second_one_of_another() -> None:
    slots, order = UploadSlots(2, 2, "Too many."), list[str]()
    eve, bob = (asyncio.create_task(_upload(slots, name, _body(SECOND, 1.0))) for name in ("eve", "bob"))
    await asyncio.sleep(0)

    async def waiting(client: str) -> None:
        async with slots.take(client):
            order.append(client)
            await asyncio.sleep(1)

    more = asyncio.gather(waiting("eve"), waiting("ada"))
    await asyncio.sleep(1)
    await _cancel([bob])
    await more
    assert order == ["ada", "eve"]
    await _cancel([eve])


@virtual_time
async def test_a_client_with_its_share_is_refused_at_once_also_while_it_waits() -> None:
    slots = UploadSlots(1, 2, "Too many.")
    fast = asyncio.create_task(_upload(slots, "bob", _body(SECOND, 1.0)))
    await asyncio.sleep(0)
    waiting = [asyncio.create_task(_upload(slots, "ada", _body(SECOND, 1.0))) for _ in range(2)]
    await asyncio.sleep(0)
    began = asyncio.get_running_loop().time()
    with pytest.raises(Overloaded):
        await _upload(slots, "ada", _body(SECOND, 1.0))
    assert asyncio.get_running_loop().time() == began
    await _cancel([fast, *waiting])


@virtual_time
async def test_uploads_that_wait_are_bounded() -> None:
    slots = UploadSlots(1, 1, "Too many.")
    fast = asyncio.create_task(_upload(slots, "bob", _body(SECOND, 1.0)))
    await asyncio.sleep(0)
    waiting = [asyncio.create_task(_upload(slots, str(number), _body(b"", 0.0))) for number in range(MAX_WAITING)]
    await asyncio.sleep(0)
    began = asyncio.get_running_loop().time()
    with pytest.raises(Overloaded):
        await _upload(slots, "ada", _body(b"", 0.0))
    assert asyncio.get_running_loop().time() == began
    await _cancel([fast, *waiting])


@virtual_time
async def test_a_client_that_leaves_while_it_gets_a_slot_returns_it() -> None:
    slots = UploadSlots(1, 1, "Too many.")
    fast = asyncio.create_task(_upload(slots, "bob", _body(SECOND, 1.0, 1)))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(_upload(slots, "eve", _body(b"", 0.0)))
    await fast
    await _cancel([waiting])
    assert await _upload(slots, "ada", _body(b"", 0.0)) == 0
