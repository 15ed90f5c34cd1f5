"""Chat services on real Postgres and Redis, with a fake provider and a stub of history."""

import contextlib
from collections.abc import AsyncIterator

import pytest

from chat_testing.cached_turns import open_cache_replica
from chat_testing.process import ChatProcess, SpawnChat, process_options, running_process
from chat_testing.replica import (
    ChatReplica,
    NewDatabase,
    OpenReplica,
    ReplicaPair,
    migrate,
    replica_options,
    running_replica,
    serving,
)
from chat_testing.stub_history import StubHistory
from chat_testing.wiring import REDIS_TIMEOUT
from fake_provider.process import FakeProvider
from parley.messaging.memory_bus import MemoryBus
from parley.storage.postgres import Pool
from parley_embedded.valkey.server import EmbeddedValkey
from parley_testing.backends.shared_servers import SharedBackends
from parley_testing.security.token_issuer import TestIssuer


@pytest.fixture(scope="session")
def issuer() -> TestIssuer:
    return TestIssuer()


@pytest.fixture(scope="session")
async def provider() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as found:
        yield found


@pytest.fixture(scope="session")
async def history(issuer: TestIssuer) -> AsyncIterator[StubHistory]:
    stub = StubHistory(jwks=issuer.jwks())
    async with serving(stub.app()) as url:
        stub.url = url
        yield stub


@pytest.fixture(scope="session")
async def new_database(backends: SharedBackends) -> NewDatabase:
    async def create() -> str:
        return await backends.fresh_database(migrate, "chat")

    return create


@pytest.fixture(scope="module")
async def valkey(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedValkey]:
    """Redis for one module, to be killed, frozen and emptied."""
    server = EmbeddedValkey(tmp_path_factory.mktemp("valkey"), durable=False)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture(scope="session")
async def open_replica(
    backends: SharedBackends, issuer: TestIssuer, provider: FakeProvider, history: StubHistory
) -> OpenReplica:
    @contextlib.asynccontextmanager
    async def opened(
        dsn: str, *, bus: MemoryBus | None = None, redis_timeout: float = REDIS_TIMEOUT, **changed: object
    ) -> AsyncIterator[ChatReplica]:
        options = replica_options(await backends.redis_url(), history, provider.base_url)
        used, settings = bus or MemoryBus(), {**options, **changed}
        async with running_replica(dsn, issuer, used, settings, redis_timeout=redis_timeout) as replica:
            yield replica

    return opened


@pytest.fixture(scope="module")
async def pair(
    open_replica: OpenReplica, new_database: NewDatabase, valkey: EmbeddedValkey
) -> AsyncIterator[ReplicaPair]:
    """Two replicas on one database and on a Redis that the test may break."""
    dsn = await new_database()
    async with open_replica(dsn, redis_url=valkey.url) as one, open_replica(dsn, redis_url=valkey.url) as two:
        yield one, two


@pytest.fixture(scope="session")
async def replica(
    open_replica: OpenReplica, new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ChatReplica]:
    """One replica for all tests, without a token limit. Each test uses its own users."""
    plans = tmp_path_factory.mktemp("plans") / "plans.yaml"
    plans.write_text("default: {tokens_per_minute: null}")
    async with open_replica(await new_database(), plans_file=plans) as found:
        yield found


@pytest.fixture(scope="session")
async def spawn(
    backends: SharedBackends,
    issuer: TestIssuer,
    provider: FakeProvider,
    history: StubHistory,
    tmp_path_factory: pytest.TempPathFactory,
) -> SpawnChat:
    @contextlib.asynccontextmanager
    async def spawned(dsn: str, pool: Pool, **changed: str) -> AsyncIterator[ChatProcess]:
        settings = process_options(dsn, await backends.redis_url(), history, provider.base_url)
        folder = tmp_path_factory.mktemp("chat")
        async with running_process(folder, settings | changed, issuer, pool) as replica:
            yield replica

    return spawned


@pytest.fixture(scope="module")
async def cache_replica(
    open_replica: OpenReplica, new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ChatReplica]:
    async with open_cache_replica(open_replica, new_database, tmp_path_factory.mktemp("plans")) as found:
        yield found
