"""Memory of a gateway process while clients pipeline requests and read nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from gateway_testing.process import GatewayProcess, RunGatewayProcess
from parley_testing import eventually
from parley_testing.faults.processes import resident_bytes
from parley_testing.http.scripted_server import respond

pytestmark = pytest.mark.integration

CONNECTIONS, BYTES_EACH = 40, 262_144
MAX_GROWTH = 50_000_000
REQUEST = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"


@contextlib.asynccontextmanager
async def pipelining(gateway: GatewayProcess) -> AsyncIterator[list[asyncio.StreamReader]]:
    """Pipeline requests on many connections."""
    opened = [await asyncio.open_connection("127.0.0.1", gateway.port) for _ in range(CONNECTIONS)]
    for _, writer in opened:
        writer.write(REQUEST * (BYTES_EACH // len(REQUEST)))
    try:
        yield [reader for reader, _ in opened]
    finally:
        for _, writer in opened:
            writer.transport.abort()


async def test_pipelined_requests_need_little_memory_and_give_it_back(run_process: RunGatewayProcess) -> None:
    async with run_process(respond(200, b"{}"), ANONYMOUS_RATE_LIMIT=1_000_000) as gateway:
        before = resident_bytes(gateway.process.pid)
        async with pipelining(gateway) as readers:
            for reader in readers:
                assert await reader.readexactly(100_000)
                assert resident_bytes(gateway.process.pid) - before < MAX_GROWTH
        assert await gateway.is_ready()
        await eventually(lambda: resident_bytes(gateway.process.pid) - before < MAX_GROWTH)


async def test_an_address_over_its_limit_is_disconnected_with_429(run_process: RunGatewayProcess) -> None:
    async with run_process(respond(200, b"{}"), ANONYMOUS_RATE_LIMIT=100) as gateway, pipelining(gateway) as readers:
        async with asyncio.timeout(120):
            answers = await asyncio.gather(*(reader.read() for reader in readers))
        assert sum(answer.count(b"HTTP/1.1 429 ") for answer in answers) == CONNECTIONS
        assert sum(answer.count(b"HTTP/1.1 200 ") for answer in answers) <= 200
