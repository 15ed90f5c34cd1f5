"""The end of a server: nobody who keeps a connection meets it with a request on its way."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from parley.config.settings import ServiceSettings, load
from parley.web import server
from parley.web.lifecycle import Lifecycle
from parley.web.server import MIN_DRAIN_SECONDS, UvicornServer, free_socket, make_server
from parley_testing import eventually

REQUEST = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
SETTINGS = load(ServiceSettings, admin_port=0, drain_delay=0, drain_timeout=5)


async def answer(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[tuple[UvicornServer, int]]:
    made, bound = make_server(answer, SETTINGS), free_socket()
    serving = asyncio.create_task(made.serve([bound]))
    try:
        await eventually(lambda: made.started)
        yield made, bound.getsockname()[1]
    finally:
        made.should_exit = True
        async with asyncio.timeout(10):
            await serving
        bound.close()


async def test_a_kept_connection_is_answered_for_a_moment_after_the_drain_began() -> None:
    async with running() as (made, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await eventually(lambda: made.server_state.connections)
        began = asyncio.get_running_loop().time()
        draining = asyncio.create_task(server.drain(made, Lifecycle(), SETTINGS))
        writer.write(REQUEST)
        async with asyncio.timeout(MIN_DRAIN_SECONDS):
            assert b" 204 " in await reader.readuntil(b"\r\n\r\n")
        assert not made.should_exit
        await draining
        assert made.should_exit
        assert asyncio.get_running_loop().time() - began >= MIN_DRAIN_SECONDS
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_with_nobody_connected_a_drain_takes_no_time() -> None:
    async with running() as (made, _):
        async with asyncio.timeout(MIN_DRAIN_SECONDS / 2):
            await server.drain(made, Lifecycle(), SETTINGS)
        assert made.should_exit


@pytest.mark.parametrize("open_requests", [0, 1])
async def test_a_farewell_is_a_part_of_the_budget(open_requests: int) -> None:
    lifecycle, settings = (
        Lifecycle(),
        load(ServiceSettings, admin_port=0, drain_delay=0, drain_timeout=MIN_DRAIN_SECONDS),
    )
    for _ in range(open_requests):
        lifecycle.begin_request()
    async with running() as (made, port):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        await eventually(lambda: made.server_state.connections)
        async with asyncio.timeout(2 * MIN_DRAIN_SECONDS):
            await server.drain(made, lifecycle, settings)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
