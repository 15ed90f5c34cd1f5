"""A rate limit of the whole product: its refusal, and the end of the wait that it names."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest

from parley_testing.http.client import UserClient, open_http, register
from parley_testing.stacks.separate_processes import SeparateStack

pytestmark = pytest.mark.e2e

BURST = 5
STRICT = {
    "RATE_LIMIT_REQUESTS": "60",
    "RATE_LIMIT_BURST": str(BURST),
    "ANONYMOUS_RATE_LIMIT": "120",
    "RATE_LIMIT_PATIENCE": "5",
}
PATH = "/api/v1/models"


@pytest.fixture
async def strict_gateway(separate: SeparateStack) -> AsyncIterator[httpx2.AsyncClient]:
    """A gateway with low limits, beside those of the stack."""
    gateway = separate.gateways[0].twin("strict-gateway", **STRICT)
    try:
        await gateway.start()
        async with open_http(gateway.url) as http:
            yield http
    finally:
        await gateway.stop()


@pytest.fixture
async def user(separate: SeparateStack) -> AsyncIterator[UserClient]:
    """A new user, registered through a gateway with high limits."""
    async with open_http(separate.url) as http:
        yield await register(http)


async def test_a_refusal_names_its_limit_and_the_seconds_to_wait(
    strict_gateway: httpx2.AsyncClient, user: UserClient
) -> None:
    async def get() -> httpx2.Response:
        return await strict_gateway.get(PATH, headers=user.headers)

    for _ in range(BURST):
        assert (await get()).status_code == httpx2.codes.OK
    refused = await get()
    while refused.status_code != httpx2.codes.TOO_MANY_REQUESTS:  # a busy machine earns a request meanwhile
        refused = next((r for r in await asyncio.gather(*(get() for _ in range(BURST))) if r.is_error), refused)
    assert refused.json()["code"] == "rate_limited"
    assert "r=0" in refused.headers["ratelimit"]
    await asyncio.sleep(int(refused.headers["retry-after"]))
    assert (await get()).status_code == httpx2.codes.OK
