"""Resolution of the names of receivers."""

import asyncio
import socket
import threading
from typing import Any
from uuid import uuid4

import pytest

from webhooks.requests.resolver import RESOLVER_THREADS, PooledResolver, names_of


class SlowNames:
    """Name servers that do not answer for ``slow.example`` until they are released."""

    def __init__(self) -> None:
        self.released = threading.Event()

    def lookup(self, host: str, port: int, *_: object) -> list[Any]:
        if host == "slow.example":
            self.released.wait(60)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", port))]


async def test_the_slow_names_of_one_user_do_not_hold_up_those_of_another() -> None:
    names = SlowNames()
    resolver = PooledResolver(names.lookup)
    with names_of(uuid4()):
        slow = [asyncio.create_task(resolver.resolve("slow.example", 443)) for _ in range(2 * RESOLVER_THREADS)]
    try:
        with names_of(uuid4()):
            (found,) = await asyncio.wait_for(resolver.resolve("receiver.example", 443), 20)
        assert found["host"] == "192.0.2.1"
        for task in slow[::2]:
            task.cancel()
    finally:
        names.released.set()
    answers = await asyncio.wait_for(asyncio.gather(*slow, return_exceptions=True), 20)
    assert sum(isinstance(answer, list) for answer in answers) == RESOLVER_THREADS
    await resolver.close()


async def test_a_name_that_does_not_exist_frees_its_place() -> None:
    def unknown(*_: object) -> list[Any]:
        raise socket.gaierror

    resolver = PooledResolver(unknown)
    for _ in range(2 * RESOLVER_THREADS):
        with pytest.raises(socket.gaierror):
            await asyncio.wait_for(resolver.resolve("nothing.example", 443), 20)
    await resolver.close()
