"""Both profiles of the product for black-box tests, which know only its URLs and the provider's journal."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeAlias

import aio_pika
import httpx2
import pytest

from fake_provider.process import FakeProvider
from parley_testing.backends.shared import SharedBackends
from parley_testing.backends.urls import BackendUrls
from parley_testing.http.client import UserClient, open_http, register
from parley_testing.stacks.embedded import EmbeddedStack
from parley_testing.stacks.separate import SeparateStack
from parley_testing.telemetry.span_collector import SpanCollector, run_collector, traced_to

Stack: TypeAlias = EmbeddedStack | SeparateStack

REPLICAS = 2


@pytest.fixture(scope="session")
async def backend_urls(backends: SharedBackends) -> BackendUrls:
    return BackendUrls(await backends.database_url(), await backends.redis_url(), await backends.amqp_url())


@pytest.fixture(scope="session")
async def spans() -> AsyncIterator[SpanCollector]:
    """The collector of the separate processes' traces."""
    async with run_collector() as running:
        yield running


@pytest.fixture(scope="session")
async def separate(
    provider: FakeProvider,
    backend_urls: BackendUrls,
    spans: SpanCollector,
    high_limits: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[SeparateStack]:
    folder: Path = tmp_path_factory.mktemp("separate")
    settings = high_limits | traced_to(spans)
    stack = SeparateStack(folder, backend_urls, provider.base_url, replicas=REPLICAS, settings=settings)
    async with stack as running:
        await assert_uses_broker(running, backend_urls)
        yield running


async def assert_uses_broker(stack: SeparateStack, backend_urls: BackendUrls) -> None:
    """Print the broker's version and assert that every service is connected to it."""
    connection = await aio_pika.connect(backend_urls.amqp_url, timeout=10)
    async with connection:
        transport = connection.transport
        assert transport is not None
        properties = transport.connection.server_properties
        print(f"broker: {properties['product']!r} {properties['version']!r}")
    for replica in [*stack.auth, *stack.chat, *stack.history, *stack.workers]:
        dependencies = (await replica.status())["dependencies"]
        assert isinstance(dependencies, list)
        assert {"bus": "up"}.items() <= {d["name"]: d["status"] for d in dependencies}.items(), replica.name


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
