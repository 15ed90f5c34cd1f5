"""Synchronous streaming standby of a Postgres server, and its promotion."""

import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from parley_embedded.postgres.account import choose_account
from parley_embedded.postgres.programs import postgres_environment, postgres_program
from parley_embedded.postgres.server import EmbeddedPostgres
from parley_embedded.process.tool import run_tool
from parley_testing.waiting import eventually

SETUP_TIMEOUT = 60.0
MAX_CONNECTIONS = 400
"""A standby must permit at least as many as its primary."""


class Standby(EmbeddedPostgres):
    """A server in recovery: it takes no statement that writes."""

    async def after_start(self) -> None:
        """Change nothing."""


@contextlib.asynccontextmanager
async def standby_of(primary: EmbeddedPostgres, folder: Path) -> AsyncIterator[Standby]:
    """Run a synchronous streaming standby."""
    standby = Standby(folder / "standby", tcp=True, max_connections=MAX_CONNECTIONS)
    standby.data_dir.mkdir(parents=True, exist_ok=True)
    account = await choose_account(standby.cluster, postgres_program("postgres").parent)
    account.take_ownership(standby.data_dir)
    parts = urlsplit(primary.url)
    status, output = await run_tool(
        *account.command("pg_basebackup"),
        *("-d", f"host=127.0.0.1 port={primary.port} user={parts.username} password={parts.password}"),
        *("-D", str(standby.cluster), "-R", "-X", "stream", "--checkpoint=fast", "--no-sync"),
        seconds=SETUP_TIMEOUT,
        folder=standby.data_dir,
        environment=postgres_environment(),
    )
    assert status == 0, output
    shutil.copy(primary.data_dir / "superuser-password", standby.data_dir)
    account.take_ownership(standby.data_dir / "superuser-password")
    await standby.start()
    try:
        connection = await asyncpg.connect(primary.url)
        await connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        await connection.execute("SELECT pg_reload_conf()")
        await eventually(
            lambda: connection.fetchval("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"),
            within=SETUP_TIMEOUT,
        )
        await connection.close()
        yield standby
    finally:
        await standby.stop()


def url_of_writer(url: str, *servers: EmbeddedPostgres) -> str:
    """Return a DSN with the hosts of several servers, of which only the writer is used."""
    credentials = urlsplit(url).netloc.rpartition("@")[0]
    hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers)
    return urlsplit(url)._replace(netloc=f"{credentials}@{hosts}", query="target_session_attrs=read-write").geturl()


async def promote(standby: EmbeddedPostgres) -> None:
    """Make a standby the primary, whose commits wait for no other standby."""
    connection = await asyncpg.connect(standby.url)
    assert await connection.fetchval("SELECT pg_promote()")
    await connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
    await connection.execute("SELECT pg_reload_conf()")
    await connection.close()
