"""Redis killed and started again under load: what clients of two gateway processes see of it."""

import asyncio
import contextlib
import time
from collections import Counter
from functools import partial
from pathlib import Path

import httpx2
import pytest

from gateway_testing.process import RunGatewayProcess
from parley_embedded.sockets import free_port
from parley_embedded.valkey.server import EmbeddedValkey
from parley_testing import eventually
from parley_testing.faults import processes
from parley_testing.http.scripted_server import respond

pytestmark = pytest.mark.integration

BURST, RATE = 40, 10.0
DOWN = 3.0
USERS = 3


async def decided_locally(first_port: int, expected: set[bool]) -> bool:
    """Say whether both gateway processes decide on their own, or none: what is expected."""
    async with httpx2.AsyncClient(trust_env=False) as client:
        pages = [(await client.get(f"http://127.0.0.1:{port}/metrics")).text for port in (first_port, first_port + 1)]
    return {"gateway_ratelimit_local 1.0" in page for page in pages} == expected


async def test_a_redis_that_dies_costs_no_request_and_limits_are_shared_until_it_is_back(
    run_process: RunGatewayProcess, tmp_path: Path
) -> None:
    redis = EmbeddedValkey(tmp_path / "valkey", tcp=True)
    await redis.start()
    first_admin = free_port()
    settings = {
        "WORKERS": 2,
        "ADMIN_PORT": first_admin,
        "REDIS_URL": redis.url,
        "RATE_LIMIT_REQUESTS": int(RATE * 60),
        "RATE_LIMIT_BURST": BURST,
        "RATE_LIMIT_PATIENCE": 1,
    }
    try:
        async with run_process(respond(), **settings) as gateway, contextlib.AsyncExitStack() as stack:
            users = [gateway.bearer() for _ in range(USERS)]
            seen, stop = [Counter[int]() for _ in users], asyncio.Event()

            async def load(number: int) -> None:
                client = await stack.enter_async_context(gateway.client())
                while not stop.is_set():
                    answer = await client.get("/api/v1/models", headers=users[number % USERS])
                    seen[number % USERS][answer.status_code] += 1
                    await asyncio.sleep(0.01)

            began = time.monotonic()
            loads = [asyncio.create_task(load(number)) for number in range(4 * USERS)]
            await eventually(lambda: all(found[429] > 20 for found in seen), within=15)
            died = time.monotonic()
            await processes.crash(redis, port=redis.port)
            await eventually(partial(decided_locally, first_admin, {True}), within=10)
            await asyncio.sleep(DOWN)
            await redis.start()
            await eventually(partial(decided_locally, first_admin, {False}), within=10)
            before = [found[200] for found in seen]
            exact_again = time.monotonic()
            await asyncio.sleep(3)
            stop.set()
            await asyncio.gather(*loads)
            ended = time.monotonic()

            assert all(set(found) == {200, 429} for found in seen), seen
            for found, admitted in zip(seen, before, strict=True):
                # What the shares of both processes admit together is one burst and the rate, and all that is too much.
                exact, shares = BURST + RATE * (ended - began), BURST + RATE * (exact_again - died)
                assert found[200] <= exact + shares + 2
                # From then on it is one burst and the rate again, over both processes.
                assert found[200] - admitted <= BURST + RATE * (ended - exact_again) + 2
    finally:
        await redis.stop()
