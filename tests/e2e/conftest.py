"""Both profiles of the product for black-box tests, which know only its URLs and the provider's journal.

With `PARLEY_E2E_URL`, the tests that need only a URL run against that address instead: `-k deployed`.
"""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TypeAlias

import httpx2
import pytest

from parley_testing.http.client import UserClient, open_http, register
from parley_testing.stacks.embedded import EmbeddedStack
from parley_testing.stacks.separate_processes import SeparateStack

DEPLOYED_URL = os.environ.get("PARLEY_E2E_URL", "")


@dataclass(frozen=True)
class DeployedStack:
    """A product that runs already."""

    url: str


Stack: TypeAlias = EmbeddedStack | SeparateStack | DeployedStack


@pytest.fixture(scope="session")
def deployed() -> DeployedStack:
    return DeployedStack(DEPLOYED_URL)


@pytest.fixture(scope="session", params=["deployed"] if DEPLOYED_URL else ["embedded", "separate"])
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
