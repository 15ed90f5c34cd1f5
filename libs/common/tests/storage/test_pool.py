"""The minimum of connections of a Postgres pool, with a server."""

import asyncio
from typing import Any

import pytest

from parley.storage.postgres import open_pool
from parley_testing import eventually

pytestmark = pytest.mark.integration

MINIMUM, SIZE = 3, 5
APPLICATION = "parley-pool-test"
PIDS = "array_agg(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND application_name = $1"
"""Server processes of the pool's other connections."""


async def test_a_pool_keeps_its_minimum_open_while_it_is_idle_and_after_the_server_closed_it(dsn: str) -> None:
    async with open_pool(dsn, minimum=MINIMUM, size=SIZE, application=APPLICATION) as pool:
        await asyncio.gather(*(pool.fetchval("SELECT pg_sleep(0.05)") for _ in range(SIZE)))
        assert pool.get_size() == SIZE
        holders: Any = pool._holders
        for holder in holders:
            holder._deactivate_inactive_connection()  # what asyncpg does when it was idle for five minutes
        assert pool.get_size() == MINIMUM
        closed = set(await pool.fetchval(f"SELECT {PIDS}", APPLICATION))
        assert len(closed) == MINIMUM - 1
        await pool.execute("SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid", list(closed))

        async def is_open_again() -> bool:
            others = set(await pool.fetchval(f"SELECT {PIDS}", APPLICATION) or ())
            return len(others) == MINIMUM - 1 and not others & closed

        await eventually(is_open_again)
