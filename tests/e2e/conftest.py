"""The product as its users run it, started once; tests know only its URLs and the provider's journal."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeAlias

import httpx2
import pytest

from fake_provider.server import FakeProvider
from parley.testing.backends import Backends
from parley.testing.client import Client, open_http, register
from parley.testing.stacks import EmbeddedStack

Stack: TypeAlias = EmbeddedStack

LIMIT = {"RATE_LIMIT_REQUESTS": "100000", "RATE_LIMIT_BURST": "10000", "ANONYMOUS_RATE_LIMIT": "100000"}


@pytest.fixture(scope="session")
async def provider() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as fake:
        yield fake


@pytest.fixture(scope="session")
async def stack(
    provider: FakeProvider, backends: Backends, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stack]:
    folder: Path = tmp_path_factory.mktemp("embedded")
    async with EmbeddedStack(folder, provider.base_url, LIMIT) as running:
        yield running


@pytest.fixture
async def http(stack: Stack) -> AsyncIterator[httpx2.AsyncClient]:
    async with open_http(stack.url) as client:
        yield client


@pytest.fixture
async def user(http: httpx2.AsyncClient) -> Client:
    return await register(http)


@pytest.fixture
async def stranger(http: httpx2.AsyncClient) -> Client:
    return await register(http)
