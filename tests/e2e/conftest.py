"""Both profiles of the product for black-box tests, which know only its URLs and the provider's journal."""

from collections.abc import AsyncIterator
from typing import TypeAlias

import httpx2
import pytest

from parley_testing.http.client import UserClient, open_http, register
from parley_testing.stacks.embedded import EmbeddedStack
from parley_testing.stacks.separate import SeparateStack

Stack: TypeAlias = EmbeddedStack | SeparateStack


@pytest.fixture(scope="session", params=["embedded", "separate"])
def stack(request: pytest.FixtureRequest) -> Stack:
    running: Stack = request.getfixturevalue(request.param)
    return running


@pytest.fixture(scope="session")
async def http(stack: Stack) -> AsyncIterator[httpx2.AsyncClient]:
    async with open_http(stack.url) as client:
        yield client


@pytest.fixture
async def user(http: httpx2.AsyncClient) -> UserClient:
    return await register(http)


@pytest.fixture
async def other_user(http: httpx2.AsyncClient) -> UserClient:
    return await register(http)
