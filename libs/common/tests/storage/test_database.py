"""Access to a database: conflicts, stale connections, and the monitor of its writability."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any, cast

import asyncpg
import pytest

from parley.errors import DependencyUnavailable
from parley.storage.connection_gate import ConnectionGate, ServerLost
from parley.storage.database import CONFLICT_ATTEMPTS, PostgresDatabase
from parley.storage.monitor import UNREACHABLE_AFTER, DatabaseMonitor, Unavailability
from parley.storage.postgres import Pool


class FakePool:
    """A pool whose statements raise ``errors`` in turn, and then return ``value``."""

    def __init__(self, *errors: Exception, value: object = "off") -> None:
        self.errors, self.value = list(errors), value
        self.calls = self.expirations = 0
        self.idle = 1
        self.terminated = False

    @contextlib.asynccontextmanager
    async def acquire(self, *, timeout: float) -> AsyncIterator["FakePool"]:
        assert timeout > 0
        yield self

    async def fetchval(self, *_: Any, **__: Any) -> object:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return self.value

    def terminate(self) -> None:
        self.terminated = True

    async def expire_connections(self) -> None:
        self.expirations += 1

    def get_idle_size(self) -> int:
        return self.idle

    def get_size(self) -> int:
        return 1

    def get_max_size(self) -> int:
        return 1


def database_of(pool: FakePool) -> PostgresDatabase:
    return PostgresDatabase(cast("Pool", pool))


async def test_a_conflict_is_retried_by_count() -> None:
    pool = FakePool(*(asyncpg.DeadlockDetectedError() for _ in range(CONFLICT_ATTEMPTS - 1)))
    assert await database_of(pool).value("SELECT 1") == "off"
    assert pool.calls == CONFLICT_ATTEMPTS


async def test_a_conflict_that_persists_becomes_an_unavailable_dependency() -> None:
    pool = FakePool(*(asyncpg.SerializationError() for _ in range(CONFLICT_ATTEMPTS)))
    with pytest.raises(DependencyUnavailable):
        await database_of(pool).value("SELECT 1")


@pytest.mark.parametrize(
    ("error", "expirations"),
    [
        (asyncpg.ReadOnlySQLTransactionError(), 1),
        (asyncpg.AdminShutdownError(), 1),
        (asyncpg.InvalidPasswordError(), 1),
        (asyncpg.TooManyConnectionsError(), 0),
        (asyncpg.QueryCanceledError(), 0),
        (TimeoutError(), 0),
    ],
)
async def test_errors_that_tell_of_a_failover_discard_the_pooled_connections(
    error: Exception, expirations: int
) -> None:
    pool = FakePool(error)
    with pytest.raises(DependencyUnavailable):
        await database_of(pool).value("SELECT 1")
    assert pool.expirations == expirations


async def test_a_server_that_stays_read_only_does_not_cost_a_reconnect_per_statement() -> None:
    pool = FakePool(*(asyncpg.ReadOnlySQLTransactionError() for _ in range(50)))
    database = database_of(pool)
    for _ in range(50):
        with pytest.raises(DependencyUnavailable):
            await database.value("SELECT 1")
    assert pool.expirations == 1


class TestDatabaseMonitor:
    @pytest.fixture
    def reports(self) -> list[Unavailability | None]:
        return []

    async def test_a_read_only_database_is_reported_at_once_and_its_connections_are_discarded(
        self, reports: list[Unavailability | None]
    ) -> None:
        pool = FakePool(value="on")
        monitor = DatabaseMonitor(cast("Pool", pool), ConnectionGate(), reports.append)
        await monitor.check()
        await monitor.check()
        assert (reports, pool.expirations) == (["database_read_only"], 1)
        pool.value = "off"
        await monitor.check()
        assert reports == ["database_read_only", None]

    async def test_an_unreachable_database_is_reported_after_several_failures(
        self, reports: list[Unavailability | None]
    ) -> None:
        pool = FakePool(*(ConnectionRefusedError() for _ in range(UNREACHABLE_AFTER)))
        monitor = DatabaseMonitor(cast("Pool", pool), ConnectionGate(), reports.append)
        for _ in range(UNREACHABLE_AFTER - 1):
            await monitor.check()
        assert reports == []
        await monitor.check()
        assert reports == ["database_unreachable"]
        await monitor.check()
        assert reports == ["database_unreachable", None]

    async def test_a_failure_after_a_read_only_reply_is_the_first_in_a_row(
        self, reports: list[Unavailability | None]
    ) -> None:
        pool = FakePool(*(ConnectionRefusedError() for _ in range(UNREACHABLE_AFTER - 1)), value="on")
        monitor = DatabaseMonitor(cast("Pool", pool), ConnectionGate(), reports.append)
        for _ in range(UNREACHABLE_AFTER):
            await monitor.check()
        assert reports == ["database_read_only"]
        pool.errors = [ConnectionRefusedError()]
        await monitor.check()
        assert reports == ["database_read_only"]

    async def test_a_busy_pool_says_nothing_about_the_database(self, reports: list[Unavailability | None]) -> None:
        pool = FakePool(value="on")
        pool.idle = 0
        await DatabaseMonitor(cast("Pool", pool), ConnectionGate(), reports.append).check()
        assert (reports, pool.calls) == ([], 0)

    async def test_statements_fail_at_once_from_a_probe_without_response_to_one_with(
        self, reports: list[Unavailability | None]
    ) -> None:
        gate = ProbedGate(FakePool())
        monitor = DatabaseMonitor(cast("Pool", FakePool(TimeoutError())), gate, reports.append)
        await monitor.check()
        with pytest.raises(ServerLost):
            await gate.connect()
        await monitor.check()
        assert not gate.lost
        assert gate.probe.terminated

    async def test_a_refused_connection_closes_no_gate(self, reports: list[Unavailability | None]) -> None:
        gate = ProbedGate(FakePool())
        await DatabaseMonitor(cast("Pool", FakePool(ConnectionRefusedError())), gate, reports.append).check()
        assert not gate.lost

    async def test_a_server_is_probed_past_a_pool_that_stays_busy(self, reports: list[Unavailability | None]) -> None:
        gate = ProbedGate(FakePool(TimeoutError()))
        pool = FakePool()
        pool.idle = 0
        monitor = DatabaseMonitor(cast("Pool", pool), gate, reports.append)
        await monitor.check()
        assert not gate.lost
        await monitor.check()
        assert (gate.lost, pool.calls) == (True, 0)


class ProbedGate(ConnectionGate):
    """A gate whose connection outside the pool is ``probe``."""

    def __init__(self, probe: FakePool) -> None:
        super().__init__()
        self.probe = probe

    async def open_probe(self) -> "asyncpg.Connection[asyncpg.Record]":
        return cast("asyncpg.Connection[asyncpg.Record]", self.probe)
