"""Limits over two gateways are those of one."""

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx2
import pytest

from parley_testing.http.client import open_http, register
from parley_testing.stacks.separate import SeparateStack
from parley_testing.stacks.service_process import ServiceProcess

pytestmark = pytest.mark.e2e

REQUESTS_A_MINUTE, BURST = 600, 100
DEFAULTS = {"RATE_LIMIT_REQUESTS": str(REQUESTS_A_MINUTE), "RATE_LIMIT_BURST": str(BURST)}
SECONDS = 3.0
AT_ONCE = 8
PATH = "/api/v1/models"


@pytest.fixture
async def strict_gateways(private_stack: SeparateStack) -> AsyncIterator[list[ServiceProcess]]:
    gateways = [gateway.twin(f"strict-{gateway.name}", **DEFAULTS) for gateway in private_stack.gateways]
    try:
        await asyncio.gather(*(gateway.start() for gateway in gateways))
        yield gateways
    finally:
        await asyncio.gather(*(gateway.stop() for gateway in gateways))


async def test_a_user_in_a_hurry_gets_the_burst_and_the_rate_once_not_once_per_gateway(
    private_stack: SeparateStack, strict_gateways: list[ServiceProcess]
) -> None:
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        user = await register(await stack.enter_async_context(open_http(private_stack.url)))
        gateways = [await stack.enter_async_context(open_http(replica.url)) for replica in strict_gateways]
        seen = [Counter[int](), Counter[int]()]

        async def ask(which: int) -> int:
            status = (await gateways[which].get(PATH, headers=user.headers)).status_code
            seen[which][status] += 1
            return status

        before_first = loop.time()
        await ask(0)
        after_first = loop.time()
        while loop.time() < after_first + SECONDS:
            await asyncio.gather(*(ask(turn % 2) for turn in range(AT_ONCE)))
        before_last = loop.time()
        while await ask(0) != httpx2.codes.TOO_MANY_REQUESTS:
            before_last = loop.time()
        after_last = loop.time()

    print(f"answers of each gateway: {[dict(found) for found in seen]}")
    rate = REQUESTS_A_MINUTE / 60
    least = BURST + math.floor(rate * (before_last - after_first))
    most = BURST + math.floor(rate * (after_last - before_first))
    assert least <= sum(found[200] for found in seen) <= most
    assert all(found[200] > BURST / 4 and set(found) == {200, 429} for found in seen)
