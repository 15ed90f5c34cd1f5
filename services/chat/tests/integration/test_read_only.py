"""A Postgres that refuses writes on kept connections, as after a failover."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from chat.storage import postgres_turns
from chat.storage.postgres_turns import PostgresTurnStore
from chat_testing.replica import ChatReplica, NewDatabase, OpenReplica, own_postgres
from chat_testing.turns import make_new_turn
from parley import times
from parley.ids import new_id
from parley.messaging.bus import PublishError
from parley.storage.postgres import Pool, open_pool
from parley_embedded.postgres.server import EmbeddedPostgres
from parley_events.cloudevents import CloudEvent
from parley_events.models import UserErased
from parley_testing import eventually
from parley_testing.faults.read_only import read_only_database

pytestmark = pytest.mark.integration

TOKENS = 20
WHOLE = " ".join(f"t{i}" for i in range(1, TOKENS + 1))
ATTEMPTS = 10
"""More than an event may fail before it is dead-lettered."""


@pytest.fixture
async def postgres(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    async with own_postgres(tmp_path) as server:
        yield server


@pytest.fixture
async def operator(postgres: EmbeddedPostgres) -> AsyncIterator[asyncpg.Connection]:
    """A session that may always write."""
    connection = await asyncpg.connect(postgres.databases.url("chat"))
    await connection.execute("SET default_transaction_read_only = off")
    yield connection
    await connection.close()


@contextlib.asynccontextmanager
async def read_only(operator: asyncpg.Connection) -> AsyncIterator[None]:
    """Make the server refuse writes in open and new sessions while the context is open."""
    try:
        await operator.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        await operator.execute("SELECT pg_reload_conf()")
        yield
    finally:
        await operator.execute("ALTER SYSTEM RESET default_transaction_read_only")
        await operator.execute("SELECT pg_reload_conf()")


def erasure_of(user_id: UUID) -> CloudEvent:
    data = UserErased(user_id=user_id, erasure_id="e" * 43, at=times.now())
    return CloudEvent(
        id=new_id(),
        source="/services/auth",
        name="user.erased",
        version=1,
        subject=str(user_id),
        time=times.now(),
        partition_key=str(user_id),
        sequence=1,
        data=data.model_dump_json().encode(),
    )


async def refused(replica: ChatReplica) -> bool:
    return (await replica.user().chat("Hi [[fake tokens=1]]")).status_code == 503


async def has_no_relay_leader(replica: ChatReplica) -> bool:
    return bool(await replica.pool.fetchval("SELECT count(*) = 0 FROM pg_locks WHERE locktype = 'advisory'"))


async def test_a_read_only_database_delays_answers_and_events_and_loses_none(
    open_replica: OpenReplica, postgres: EmbeddedPostgres, operator: asyncpg.Connection
) -> None:
    async with open_replica(postgres.databases.url("chat"), finish_pending_after=0.2) as replica:
        user, erased = replica.user(), erasure_of(new_id())
        turn_id = await user.start(f"Hi [[fake tokens={TOKENS} rate={TOKENS // 2}]]")
        log = replica.wired.supervisor.log(UUID(turn_id))
        assert log is not None
        async with read_only(operator):
            await eventually(lambda: refused(replica))
            response = await replica.user().chat("Hi [[fake tokens=1]]")
            assert (response.status_code, response.json()["code"]) == (503, "dependency_unavailable")
            assert int(response.headers["retry-after"]) >= 1
            for _ in range(ATTEMPTS):
                with pytest.raises(PublishError):
                    await replica.bus.publish(erased)
            assert not replica.bus.dead_letters
            unavailable = {"status": "unavailable", "reason": "database_read_only"}
            await eventually(lambda: replica.runtime.lifecycle.readiness() == (False, unavailable))
            ready = await replica.client.get("/ready")
            assert (ready.status_code, ready.json()) == (503, unavailable)
            status = await replica.runtime.status()
            assert ("postgres", "down", "read only") in [
                (found["name"], found["status"], found["detail"]) for found in status["dependencies"]
            ]
            await eventually(lambda: has_no_relay_leader(replica))
            await eventually(lambda: log.state == "pending")
        await eventually(lambda: log.state == "ended")
        turn = await user.turn(turn_id)
        assert (turn["status"], turn["finish_reason"]) == ("completed", "stop")
        assert turn["message"] == WHOLE
        await replica.bus.publish(erased)
        assert (await user.chat("Hi [[fake tokens=1]]")).status_code == 200
        await eventually(lambda: replica.runtime.lifecycle.readiness() == (True, {"status": "ready"}))


async def test_a_service_starts_on_a_read_only_database_and_is_ready_when_a_writer_is_there(
    open_replica: OpenReplica, new_database: NewDatabase
) -> None:
    dsn = await new_database()
    async with contextlib.AsyncExitStack() as stack:
        async with read_only_database(dsn):
            replica = await stack.enter_async_context(open_replica(dsn))
            assert (await replica.client.get("/ready")).status_code == 503
        await eventually(lambda: is_ready(replica))
        assert (await replica.user().chat("Hi [[fake tokens=1]]")).status_code == 200


async def is_ready(replica: ChatReplica) -> bool:
    return bool((await replica.client.get("/ready")).status_code == 200)


@contextlib.asynccontextmanager
async def demoted_connections(pool: Pool) -> AsyncIterator[None]:
    """Make every open connection of a pool read-only, as those to a demoted server are."""
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(pool.get_max_size()):
            connection = await stack.enter_async_context(pool.acquire())
            await connection.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
    yield


async def test_kept_connections_to_a_demoted_server_are_replaced_within_one_request(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_turns, "RETRY_WINDOW", 60)  # a busy machine takes longer for the first attempt
    async with open_pool(await new_database(), size=4) as pool, demoted_connections(pool):
        store = PostgresTurnStore(pool, lambda: None)
        admitted = await asyncio.gather(*(store.admit(make_new_turn(), new_id(), None) for _ in range(4)))
    assert [result.number for result in admitted] == [1, 1, 1, 1]
