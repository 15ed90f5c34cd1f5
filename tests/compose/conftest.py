"""The whole compose file, up once for all tests of this folder; they run in their order, and later ones break it."""

import os
import resource
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest

from fake_provider.process import RunningProvider
from parley_testing.deployment.compose import ComposeProject
from parley_testing.deployment.docker import docker, missing_program
from parley_testing.http.client import UserClient, open_http, register

VERSION = "compose-test"
BUILD_TIMEOUT = 1800.0
PORT, EDGE_PORT, PROMETHEUS_PORT = 18480, 18443, 18490
USERS = 4
PLANS = """\
default: {requests_per_minute: 60000, burst: 10000, streams: 77, tokens_per_minute: 10000000, models: ["*"]}
"""
INSIDE = "10.193.193.0/24"
SETTINGS = {
    "PARLEY_VERSION": VERSION,
    "PARLEY_PORT": str(PORT),
    "EDGE_PORT": str(EDGE_PORT),
    "PROMETHEUS_PORT": str(PROMETHEUS_PORT),
    "PARLEY_SUBNET": INSIDE,
    "PARLEY_EDGE_SUBNET": "10.193.194.0/24",
    "COMPOSE_PROFILES": "edge,fake-provider",
    "OPENAI_BASE_URL": "http://fake-provider:8100/v1",
    "OPENAI_MODEL": "fake",
    "ANONYMOUS_RATE_LIMIT": "100000",
    "REGISTRATION": "open",
    "PLANS_FILE": "/etc/parley/plans.yaml",
    "ADMIN_HOST": "0.0.0.0",
    "WEBHOOKS_ALLOW_HTTP": "true",
    "WEBHOOKS_ALLOWED_NETWORKS": INSIDE,
    "OPEN_FILES": str(min(65536, resource.getrlimit(resource.RLIMIT_NOFILE)[1])),
}


@pytest.fixture(scope="session")
def root() -> Path:
    return Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def project(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeProject]:
    if problem := missing_program():
        pytest.fail(f"make compose-test needs Docker with compose and buildx: {problem}")
    os.environ["VERSION"] = VERSION
    began = time.monotonic()
    docker("buildx", "bake", "-f", "deploy/docker/bake.hcl", "test", "--load", cwd=root, timeout=BUILD_TIMEOUT)
    built = time.monotonic()
    folder = tmp_path_factory.mktemp("compose") / "clone"
    made = ComposeProject(root, folder, f"parley-test-{secrets.token_hex(3)}", SETTINGS)
    (folder / "deploy/docker/config/plans.yaml").write_text(PLANS)
    try:
        made.script("make-secrets", OPENAI_API_KEY="sk-of-a-test")
        made.up()
        print(
            f"\nimages built in {built - began:.0f} s, everything healthy {time.monotonic() - built:.0f} s after `up`"
        )
        yield made
    finally:
        logs = root / ".pytest_cache/compose-logs.txt"
        logs.parent.mkdir(exist_ok=True)
        logs.write_text(made.compose("logs", "--no-color", check=False) + made.failed_checks())
        made.down("--volumes", "--timeout", "20")


@pytest.fixture(scope="session")
def url(project: ComposeProject) -> str:
    """The published address of the first gateway."""
    return f"http://127.0.0.1:{PORT}"


@pytest.fixture(scope="session")
def edge_url(project: ComposeProject) -> str:
    """The address of the proxy."""
    return f"https://127.0.0.1:{EDGE_PORT}"


@pytest.fixture(scope="session")
def prometheus_url(project: ComposeProject) -> str:
    """The address of Prometheus, which runs from now on."""
    project.compose("--profile", "observability", "up", "--detach", "--wait", "--no-deps", "prometheus")
    return f"http://127.0.0.1:{PROMETHEUS_PORT}"


@pytest.fixture(scope="session")
def provider(project: ComposeProject) -> RunningProvider:
    """The provider in its container, which this machine reaches by its address."""
    return RunningProvider(f"http://{project.address('fake-provider', 'inside')}:8100")


@pytest.fixture(scope="session")
async def http(url: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with open_http(url) as client:
        yield client


@pytest.fixture(scope="session")
async def admin(project: ComposeProject, http: httpx2.AsyncClient) -> UserClient:
    """The first account, made by the command of the README."""
    output = project.inside("auth", "parley", "admin", "create-admin", "ada", "--generate-password")
    password = output.strip().rpartition(" ")[2]
    client = UserClient(http, "ada", password)
    await client.log_in()
    return client


@pytest.fixture
async def users(http: httpx2.AsyncClient) -> list[UserClient]:
    return [await register(http) for _ in range(USERS)]
