"""Shared backends of a test session."""

from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from parley_embedded.postgres.server import EmbeddedPostgres
from parley_testing.backends.shared_servers import SharedBackends, UnavailableError

pytestmark = pytest.mark.integration


class CountedMigration:
    def __init__(self) -> None:
        self.calls = 0

    async def __call__(self, dsn: str) -> None:
        self.calls += 1
        connection = await asyncpg.connect(dsn)
        await connection.execute("CREATE TABLE notes (note text)")
        await connection.close()


async def notes(dsn: str, statement: str = "SELECT count(*) FROM notes") -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_each_fresh_database_is_migrated_once_and_shares_no_rows() -> None:
    migrate = CountedMigration()
    async with SharedBackends(environment={}) as backends:
        first = await backends.fresh_database(migrate, "chat")
        await notes(first, "INSERT INTO notes VALUES ('mine')")
        second = await backends.fresh_database(migrate, "chat")
        assert (await notes(first), await notes(second)) == (1, 0)
        assert migrate.calls == 1
        assert await notes(first, "SELECT usesuper FROM pg_user WHERE usename = current_user") is False
        await backends.drop(first)
        with pytest.raises(asyncpg.InvalidCatalogNameError):
            await notes(first)


async def test_servers_start_on_first_use_and_stop_at_the_end() -> None:
    backends = SharedBackends(environment={})
    folder = backends.folder
    assert list(folder.iterdir()) == []
    url = await backends.redis_url()
    assert await backends.redis_url() == url
    async with Redis.from_url(url) as client:
        assert await client.ping()
    await backends.stop()
    assert not folder.exists()


async def test_an_abandoned_session_leaves_neither_process_nor_folder() -> None:
    backends = SharedBackends(environment={})
    await backends.redis_url()
    server, folder = backends._servers["redis"], backends.folder
    backends.abandon()
    assert not server.running
    assert not folder.exists()


async def test_servers_in_the_environment_are_used_instead(postgres: EmbeddedPostgres) -> None:
    urls = {"REDIS_URL": "redis://other/0", "AMQP_URL": "amqp://other/", "DATABASE_URL": postgres.url}
    backends = SharedBackends(environment=urls)
    assert await backends.redis_url() == "redis://other/0"
    assert await backends.amqp_url() == "amqp://other/"
    dsn = await backends.fresh_database(CountedMigration(), "other")
    assert await notes(dsn) == 0
    await backends.stop()
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await notes(dsn)


async def test_an_unavailable_backend_reports_its_reason_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    async with SharedBackends(environment={}, tools=tmp_path) as backends:
        for _ in range(2):
            with pytest.raises(UnavailableError, match="AMQP_URL"):
                await backends.amqp_url()
        assert list(backends.unavailable) == ["rabbitmq"]
