"""Default rate limits over two gateways."""

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx2
import pytest

from parley_testing.http.client import UserClient, open_http, register
from parley_testing.stacks.separate import SeparateStack

pytestmark = pytest.mark.e2e

REQUESTS_A_MINUTE, BURST, ANONYMOUS_A_MINUTE = 600, 100, 120
STRICT = {
    "RATE_LIMIT_REQUESTS": str(REQUESTS_A_MINUTE),
    "RATE_LIMIT_BURST": str(BURST),
    "ANONYMOUS_RATE_LIMIT": str(ANONYMOUS_A_MINUTE),
    "RATE_LIMIT_PATIENCE": "5",
}
SECONDS = 3.0
CONCURRENCY = 8
PATH = "/api/v1/models"


@pytest.fixture(scope="module")
async def strict_gateways(separate: SeparateStack) -> AsyncIterator[list[httpx2.AsyncClient]]:
    """Clients of two gateways with the default limits."""
    gateways = [gateway.twin(f"strict-{gateway.name}", **STRICT) for gateway in separate.gateways]
    async with AsyncExitStack() as stack:
        try:
            await asyncio.gather(*(gateway.start() for gateway in gateways))
            yield [await stack.enter_async_context(open_http(gateway.url)) for gateway in gateways]
        finally:
            await asyncio.gather(*(gateway.stop() for gateway in gateways))


@pytest.fixture
async def user(separate: SeparateStack) -> AsyncIterator[UserClient]:
    """A new user, registered through a gateway with high limits."""
    async with open_http(separate.url) as http:
        yield await register(http)


async def test_a_user_gets_the_burst_and_the_rate_once_not_once_per_gateway(
    strict_gateways: list[httpx2.AsyncClient], user: UserClient
) -> None:
    loop = asyncio.get_running_loop()
    seen = [Counter[int](), Counter[int]()]

    async def ask(gateway: int) -> int:
        status = (await strict_gateways[gateway].get(PATH, headers=user.headers)).status_code
        seen[gateway][status] += 1
        return status

    before_first = loop.time()
    await ask(0)
    after_first = loop.time()
    while loop.time() < after_first + SECONDS:
        await asyncio.gather(*(ask(number % 2) for number in range(CONCURRENCY)))
    while await ask(0) != httpx2.codes.TOO_MANY_REQUESTS:
        pass
    after_last = loop.time()

    print(f"answers of each gateway: {[dict(found) for found in seen]}")
    rate = REQUESTS_A_MINUTE / 60
    most = BURST + math.floor(rate * (after_last - before_first))
    assert BURST <= sum(found[200] for found in seen) <= most
    assert set(seen[0]) == {200, 429}
    assert seen[1][200]


async def test_a_refusal_names_its_limit_and_the_seconds_to_wait(
    strict_gateways: list[httpx2.AsyncClient], user: UserClient
) -> None:
    async def get() -> httpx2.Response:
        return await strict_gateways[0].get(PATH, headers=user.headers)

    refused = await get()
    while refused.status_code != httpx2.codes.TOO_MANY_REQUESTS:
        refused = next((r for r in await asyncio.gather(*(get() for _ in range(CONCURRENCY))) if r.is_error), refused)
    assert refused.json()["code"] == "rate_limited"
    assert "r=0" in refused.headers["ratelimit"]
    await asyncio.sleep(int(refused.headers["retry-after"]))
    assert (await get()).status_code == httpx2.codes.OK


async def test_an_address_without_an_account_is_limited_too(strict_gateways: list[httpx2.AsyncClient]) -> None:
    async def get(number: int) -> int:
        return (await strict_gateways[number % 2].get("/.well-known/jwks.json")).status_code

    statuses = Counter(await asyncio.gather(*(get(number) for number in range(3 * ANONYMOUS_A_MINUTE))))
    assert set(statuses) == {200, 429}
