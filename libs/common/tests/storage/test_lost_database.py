"""A Postgres server whose packets vanish."""

import asyncio
from urllib.parse import parse_qsl, urlsplit

import pytest

from parley.errors import DependencyUnavailable
from parley.storage.connection_gate import ConnectionGate
from parley.storage.database import PostgresDatabase
from parley.storage.monitor import DatabaseMonitor
from parley.storage.postgres import open_pool
from parley_testing import eventually
from parley_testing.faults.tcp_proxy import TcpProxy, Toxics

pytestmark = pytest.mark.integration

LOSS_TIMEOUT = 0.3


async def test_waiting_and_later_statements_fail_until_a_probe_succeeds(dsn: str) -> None:
    parts = urlsplit(dsn)
    options = dict(parse_qsl(parts.query))
    target = f"{options['host']}/.s.PGSQL.{options['port']}" if "host" in options else str(parts.hostname)
    async with TcpProxy(target, parts.port or 5432) as proxy:
        user = parts.netloc.rpartition("@")[0]
        moved = f"postgresql://{user}@127.0.0.1:{proxy.port}{parts.path}"
        gate = ConnectionGate()
        async with open_pool(moved, size=2, gate=gate) as pool:
            database = PostgresDatabase(pool)
            monitor = DatabaseMonitor(pool, gate, lambda _: None, loss_timeout=LOSS_TIMEOUT)
            await asyncio.gather(database.value("SELECT pg_sleep(0.01)"), database.value("SELECT pg_sleep(0.01)"))
            async with proxy.with_toxics(Toxics(black_hole=True)):
                waiting = [asyncio.create_task(database.value("SELECT 1")) for _ in range(4)]
                await eventually(lambda: proxy.counters.swallowed)
                checks = 0
                while not gate.lost:
                    await monitor.check()
                    checks += 1
                assert checks <= 2
                found = await asyncio.gather(*waiting, return_exceptions=True)
                assert [type(error) for error in found] == [DependencyUnavailable] * 4
                with pytest.raises(DependencyUnavailable) as refused:
                    await database.value("SELECT 1")
                assert refused.value.headers["Retry-After"] == "1"
                await monitor.check()
                assert gate.lost, "the probe was not lost"
            while gate.lost:
                await monitor.check()
            assert await database.value("SELECT 1") == 1
