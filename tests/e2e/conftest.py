"""The product as its users run it, in both profiles; tests know only its URLs and the provider's journal."""

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

GENEROUS = {
    "RATE_LIMIT_REQUESTS": "100000",
    "RATE_LIMIT_BURST": "10000",
    "ANONYMOUS_RATE_LIMIT": "100000",
    "RATE_LIMIT_PATIENCE": "1",
}
REPLICAS = 2


@pytest.fixture(scope="session")
async def provider() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as fake:
        yield fake


@pytest.fixture(scope="session")
async def infrastructure(backends: SharedBackends) -> BackendUrls:
    return BackendUrls(await backends.database_url(), await backends.redis_url(), await backends.amqp_url())


@pytest.fixture(scope="session")
async def embedded(provider: FakeProvider, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedStack]:
    """The embedded profile, in which answers are given again; the other one asks the provider each time."""
    folder: Path = tmp_path_factory.mktemp("embedded")
    async with EmbeddedStack(folder, provider.base_url, GENEROUS | {"ENABLE_CACHE": "true"}) as running:
        yield running


@pytest.fixture(scope="session")
async def spans() -> AsyncIterator[SpanCollector]:
    """Where the separate processes send their traces; the embedded profile is tested without any."""
    async with run_collector() as running:
        yield running


@pytest.fixture(scope="session")
async def separate(
    provider: FakeProvider,
    infrastructure: BackendUrls,
    spans: SpanCollector,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[SeparateStack]:
    folder: Path = tmp_path_factory.mktemp("separate")
    settings = GENEROUS | traced_to(spans)
    stack = SeparateStack(folder, infrastructure, provider.base_url, replicas=REPLICAS, settings=settings)
    async with stack as running:
        await talks_to_the_broker(running, infrastructure)
        yield running


async def talks_to_the_broker(stack: SeparateStack, infrastructure: BackendUrls) -> None:
    """Print the broker's version, and fail unless the services are connected to that very broker."""
    connection = await aio_pika.connect(infrastructure.amqp_url, timeout=10)
    async with connection:
        transport = connection.transport
        assert transport is not None
        properties = transport.connection.server_properties
        print(f"broker: {properties['product']!r} {properties['version']!r}")
    for replica in [*stack.auth, *stack.chat, *stack.history, *stack.workers]:
        dependencies = (await replica.status())["dependencies"]
        assert isinstance(dependencies, list)
        assert {"bus": "up"}.items() <= {d["name"]: d["status"] for d in dependencies}.items(), replica.name


@pytest.fixture(params=["embedded", "separate"])
def stack(request: pytest.FixtureRequest) -> Stack:
    running: Stack = request.getfixturevalue(request.param)
    return running


@pytest.fixture
async def http(stack: Stack) -> AsyncIterator[httpx2.AsyncClient]:
    async with open_http(stack.url) as client:
        yield client


@pytest.fixture
async def user(http: httpx2.AsyncClient) -> UserClient:
    return await register(http)


@pytest.fixture
async def stranger(http: httpx2.AsyncClient) -> UserClient:
    return await register(http)
