"""The provider and the stacks of both profiles, started once for all folders of black-box tests."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import yaml

from fake_provider.process import FakeProvider, RunningProvider
from parley_embedded.errors import EmbeddedError
from parley_testing.backends.private_servers import PrivateBackends, open_private_backends
from parley_testing.backends.shared_servers import SharedBackends
from parley_testing.deployment.promtool import Promtool, find_promtool
from parley_testing.http.client import PASSWORD_MARK
from parley_testing.stacks.embedded import EmbeddedStack
from parley_testing.stacks.separate_processes import SeparateStack
from parley_testing.telemetry.span_collector import SpanCollector, run_collector, traced_to

MODELS = Path(__file__).with_name("models.yaml")
REPLICAS = 2
HIGH_LIMITS = {
    "RATE_LIMIT_REQUESTS": "100000",
    "RATE_LIMIT_BURST": "10000",
    "ANONYMOUS_RATE_LIMIT": "100000",
    "RATE_LIMIT_PATIENCE": "1",
    "STREAMS_PER_USER": "100",
    "LOG_LEVEL": "debug",
}


@pytest.fixture(scope="session")
def high_limits() -> dict[str, str]:
    """Settings under which no test meets a limit, a busy Redis does not count as lost, and everything is logged."""
    return HIGH_LIMITS


@pytest.fixture(scope="session")
def provider_key() -> str:
    """The operator's key of the provider, which must not be found anywhere else."""
    return f"sk-canary-{secrets.token_hex(12)}"


@pytest.fixture(scope="session")
def anthropic_key() -> str:
    """The operator's key of a provider of Anthropic's API, as secret as the other one."""
    return f"sk-ant-canary-{secrets.token_hex(12)}"


@pytest.fixture(scope="session")
def anthropic_model() -> str:
    """A model of the embedded profile whose provider speaks Anthropic's API."""
    return "messages-api"


@pytest.fixture(scope="session", autouse=True)
def no_secret_in_any_log(
    provider_key: str, anthropic_key: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Search the logs of every stack of the session for passwords of users and for the provider's key."""
    yield
    marks = (provider_key.encode(), anthropic_key.encode(), PASSWORD_MARK.encode())
    logs = [path for path in tmp_path_factory.getbasetemp().rglob("*.log*") if path.is_file()]
    assert [path for path in logs if any(mark in path.read_bytes() for mark in marks)] == []


@pytest.fixture(scope="session")
def promtool(tmp_path_factory: pytest.TempPathFactory) -> Promtool:
    """Promtool of the system or of Debian."""
    try:
        return Promtool(asyncio.run(find_promtool()), tmp_path_factory.mktemp("promtool"))
    except EmbeddedError as error:
        pytest.skip(f"the alerts were not checked: {error}")


@pytest.fixture(scope="session")
async def provider() -> AsyncIterator[FakeProvider]:
    if running := os.environ.get("PARLEY_E2E_PROVIDER"):
        yield RunningProvider(running)
        return
    async with FakeProvider() as fake:
        yield fake


@pytest.fixture(scope="session")
async def embedded_spans() -> AsyncIterator[SpanCollector]:
    """The collector of the embedded profile's traces."""
    async with run_collector() as running:
        yield running


@pytest.fixture(scope="session")
async def embedded(
    provider: FakeProvider,
    provider_key: str,
    anthropic_key: str,
    anthropic_model: str,
    embedded_spans: SpanCollector,
    high_limits: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[EmbeddedStack]:
    """The embedded profile with the response cache on; the other profile calls the provider each time."""
    settings = high_limits | traced_to(embedded_spans) | {"ENABLE_CACHE": "true", "OPENAI_API_KEY": provider_key}
    folder = tmp_path_factory.mktemp("models")
    secret, models = folder / "key", folder / "models.yaml"
    secret.write_text(anthropic_key)
    entry = {"provider_model": "fake", "kind": "anthropic", "base_url": provider.base_url, "api_key_file": str(secret)}
    document = yaml.safe_load(MODELS.read_text())
    document["models"][anthropic_model] = entry
    models.write_text(yaml.safe_dump(document))
    settings |= {"MODELS_FILE": str(models)}
    async with EmbeddedStack(tmp_path_factory.mktemp("embedded"), provider.base_url, settings) as running:
        yield running


@pytest.fixture(scope="session")
async def private_backends(
    backends: SharedBackends, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[PrivateBackends]:
    """The servers of the separate profile, which tests in `faults` break."""
    async with open_private_backends(tmp_path_factory.mktemp("servers"), backends) as servers:
        yield servers


@pytest.fixture(scope="session")
async def spans() -> AsyncIterator[SpanCollector]:
    """The collector of the separate processes' traces."""
    async with run_collector() as running:
        yield running


@pytest.fixture(scope="session")
async def separate(
    provider: FakeProvider,
    provider_key: str,
    private_backends: PrivateBackends,
    spans: SpanCollector,
    high_limits: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[SeparateStack]:
    """The separate profile, with two replicas of gateway, chat and history."""
    settings = high_limits | traced_to(spans) | {"DRAIN_TIMEOUT": "6", "OPENAI_API_KEY": provider_key}
    folder = tmp_path_factory.mktemp("separate")
    stack = SeparateStack(folder, private_backends.urls, provider.base_url, replicas=REPLICAS, settings=settings)
    async with stack as running:
        yield running
