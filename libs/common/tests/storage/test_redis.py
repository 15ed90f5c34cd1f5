"""The Redis client with a real server that goes away and comes back."""

import asyncio
from pathlib import Path

import pytest

from parley.storage.redis import open_redis
from parley_embedded.valkey.server import EmbeddedValkey
from parley_testing.faults import processes

pytestmark = pytest.mark.integration

CALLS = 6


async def test_no_call_fails_on_a_connection_that_was_pooled_before_a_restart(tmp_path: Path) -> None:
    async with EmbeddedValkey(tmp_path, tcp=True) as server, open_redis(server.url) as client:
        await asyncio.gather(*(client.ping() for _ in range(CALLS)))
        assert len(await client.client_list()) == CALLS, "the calls did not take a connection each"
        await processes.restart(server, port=server.port)
        assert await asyncio.gather(*(client.ping() for _ in range(CALLS))) == [True] * CALLS
