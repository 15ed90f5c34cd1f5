"""More client connections than the process has descriptors, with all services in one process."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fake_provider.process import FakeProvider
from parley_testing.http.client import open_http, register
from parley_testing.stacks.embedded import EmbeddedStack

pytestmark = [pytest.mark.e2e, pytest.mark.chaos]

DESCRIPTORS, CONNECTIONS, ADDRESSES, BATCH = 1024, 2000, 20, 100
HEAD = b"GET /health HTTP/1.1\r\nHost: a\r\n"
TURNS = 20


@contextlib.asynccontextmanager
async def flood(port: int) -> AsyncIterator[list[asyncio.StreamReader]]:
    """Open connections from many addresses, each with an unfinished request."""
    opened: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def connect(number: int) -> None:
        address = (f"127.0.3.{number % ADDRESSES + 1}", 0)
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=address)
            opened.append((reader, writer))
            writer.write(HEAD)

    try:
        for start in range(0, CONNECTIONS, BATCH):
            await asyncio.gather(*map(connect, range(start, start + BATCH)))
        yield [reader for reader, _ in opened]
    finally:
        for _, writer in opened:
            writer.transport.abort()


async def test_a_flood_of_connections_leaves_descriptors_for_turns(
    provider: FakeProvider, high_limits: dict[str, str], tmp_path: Path
) -> None:
    stack = EmbeddedStack(tmp_path, provider.base_url, high_limits, descriptors=DESCRIPTORS)
    async with stack, open_http(stack.url) as http:
        user = await register(http)
        async with flood(stack.port) as readers:
            assert len(readers) > DESCRIPTORS, "the flood did not reach the limit"
            await asyncio.gather(*(user.chat("hello [[fake tokens=3]]") for _ in range(TURNS)))
        log = (tmp_path / "data" / "parley.log").read_text()
        assert "Too many open files" not in log
        assert "lease" not in log
