"""Resolution of the names of receivers."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from parley_testing.waiting import eventually
from webhooks.outgoing.resolver import MAX_NAMES, RESOLVER_THREADS, PooledResolver, names_of


class SlowNames:
    """Name servers that do not answer for names of ``slow.example`` until they are released."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.asked: list[str] = []

    def lookup(self, host: str, port: int, *_: object) -> list[Any]:
        self.asked.append(host)
        if host.endswith("slow.example"):
            self.released.wait(60)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", port))]


@contextlib.asynccontextmanager
async def resolver_of(names: SlowNames) -> AsyncIterator[PooledResolver]:
    resolver = PooledResolver(names.lookup)
    try:
        yield resolver
    finally:
        names.released.set()
        await resolver.close()


def start_slow(resolver: PooledResolver, owner: UUID, names: int) -> "list[asyncio.Task[list[Any]]]":
    """Start the requests of a user for different names that are slow."""
    with names_of(owner):
        return [asyncio.create_task(resolver.resolve(f"{n}.slow.example", 443)) for n in range(names)]


async def address_of(resolver: PooledResolver, host: str) -> str:
    (found,) = await asyncio.wait_for(resolver.resolve(host, 443), 20)
    return found["host"]


async def test_the_slow_names_of_one_user_do_not_hold_up_those_of_another() -> None:
    names = SlowNames()
    async with resolver_of(names) as resolver:
        slow = start_slow(resolver, uuid4(), 2 * RESOLVER_THREADS)
        with names_of(uuid4()):
            assert await address_of(resolver, "receiver.example") == "192.0.2.1"
        for task in slow[::2]:
            task.cancel()
        names.released.set()
        answers = await asyncio.wait_for(asyncio.gather(*slow, return_exceptions=True), 20)
        assert sum(isinstance(answer, list) for answer in answers) == RESOLVER_THREADS


async def test_the_slow_names_of_fifteen_users_do_not_hold_up_those_of_another() -> None:
    names, others = SlowNames(), RESOLVER_THREADS // MAX_NAMES - 1
    assert others == 15
    async with resolver_of(names) as resolver:
        slow = [task for _ in range(others) for task in start_slow(resolver, uuid4(), RESOLVER_THREADS)]
        await eventually(lambda: len(names.asked) == others * MAX_NAMES)
        with names_of(uuid4()):
            assert await address_of(resolver, "receiver.example") == "192.0.2.1"
        names.released.set()
        await asyncio.wait_for(asyncio.gather(*slow), 20)


async def test_a_slow_name_of_a_user_holds_up_none_of_their_other_names() -> None:
    names, owner = SlowNames(), uuid4()
    async with resolver_of(names) as resolver:
        with names_of(owner):
            slow = [asyncio.create_task(resolver.resolve("slow.example", 443)) for _ in range(2 * RESOLVER_THREADS)]
            assert await address_of(resolver, "receiver.example") == "192.0.2.1"
        slow[0].cancel()
        names.released.set()
        answers = await asyncio.wait_for(asyncio.gather(*slow, return_exceptions=True), 20)
        assert sum(isinstance(answer, list) for answer in answers) == len(slow) - 1
    assert sorted(names.asked) == ["receiver.example", "slow.example"]  # asked in threads, in either order


async def test_a_name_is_looked_up_again_for_a_later_request() -> None:
    names = SlowNames()
    async with resolver_of(names) as resolver:
        for _ in range(2):
            await address_of(resolver, "receiver.example")
    assert names.asked == ["receiver.example"] * 2


async def test_closing_does_not_wait_for_a_slow_name() -> None:
    names = SlowNames()
    async with resolver_of(names) as resolver:
        slow = start_slow(resolver, uuid4(), MAX_NAMES + 1)
        await eventually(lambda: len(names.asked) == MAX_NAMES)
        await asyncio.wait_for(resolver.close(), 20)
        await asyncio.wait(slow)
        assert all(task.cancelled() for task in slow)


async def test_a_name_that_does_not_exist_frees_its_place() -> None:
    def unknown(*_: object) -> list[Any]:
        raise socket.gaierror

    resolver = PooledResolver(unknown)
    for _ in range(2 * RESOLVER_THREADS):
        with pytest.raises(socket.gaierror):
            await asyncio.wait_for(resolver.resolve("nothing.example", 443), 20)
    await resolver.close()
