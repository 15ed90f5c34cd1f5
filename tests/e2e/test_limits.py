"""The default limits, met by somebody in a hurry."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fake_provider.process import FakeProvider
from parley_testing.http.client import open_http, register
from parley_testing.stacks.embedded import EmbeddedStack

pytestmark = pytest.mark.e2e

REQUESTS_A_MINUTE, BURST = 600, 100


@pytest.fixture
async def stack(provider: FakeProvider, tmp_path: Path) -> AsyncIterator[EmbeddedStack]:
    async with EmbeddedStack(tmp_path, provider.base_url) as running:
        yield running


async def test_too_many_requests_are_refused_and_waiting_as_told_helps(stack: EmbeddedStack) -> None:
    async with open_http(stack.url) as http:
        user = await register(http)
        began = time.monotonic()
        responses = await asyncio.gather(*(user.request("GET", "/api/v1/models") for _ in range(200)))
        elapsed = time.monotonic() - began
        statuses = Counter(response.status_code for response in responses)
        most = BURST + REQUESTS_A_MINUTE / 60 * elapsed
        assert set(statuses) == {200, 429}
        assert BURST - 5 <= statuses[200] <= most

        refused = next(response for response in responses if response.status_code == 429)
        assert refused.json()["code"] == "rate_limited"
        assert "r=0" in refused.headers["ratelimit"]
        await asyncio.sleep(int(refused.headers["retry-after"]))
        assert (await user.request("GET", "/api/v1/models")).status_code == 200


async def test_an_address_without_an_account_is_limited_too(stack: EmbeddedStack) -> None:
    async with open_http(stack.url) as http:
        responses = await asyncio.gather(*(http.get("/.well-known/jwks.json") for _ in range(300)))
        statuses = Counter(response.status_code for response in responses)
        assert set(statuses) == {200, 429}
