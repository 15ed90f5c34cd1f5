"""The Redis client across a restart of a real server."""

import asyncio
from pathlib import Path

import pytest

from parley.storage.redis import open_redis
from parley_embedded.valkey.server import EmbeddedValkey
from parley_testing.faults import processes

pytestmark = pytest.mark.integration

CALLS = 6


async def test_connections_pooled_before_a_restart_of_redis_still_work(tmp_path: Path) -> None:
    async with EmbeddedValkey(tmp_path, tcp=True) as server, open_redis(server.url, timeout=20) as client:
        await asyncio.gather(*(client.ping() for _ in range(CALLS)))
        assert len(await client.client_list()) == CALLS, "the calls did not use separate connections"
        await processes.restart(server, port=server.port)
        assert await asyncio.gather(*(client.ping() for _ in range(CALLS))) == [True] * CALLS
