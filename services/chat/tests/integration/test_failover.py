"""The Postgres primary dies under running turns, and its streaming standby is promoted."""

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from chat_testing.replica import ChatReplica, OpenReplica, own_postgres
from parley_embedded.postgres.account import choose_account
from parley_embedded.postgres.programs import postgres_environment, postgres_program
from parley_embedded.postgres.server import EmbeddedPostgres
from parley_embedded.process.tool import run_tool
from parley_testing import eventually
from parley_testing.faults import processes

pytestmark = [pytest.mark.integration, pytest.mark.chaos]

TURNS = 50
TOKENS = 60
WHOLE = " ".join(f"t{i}" for i in range(1, TOKENS + 1))
PROMPT = f"Hi [[fake tokens={TOKENS} rate=10]]"
RECOVERY_TIMEOUT = 5.0
"""Seconds after the promotion in which a new turn succeeds."""
SETUP_TIMEOUT = 60.0


class Standby(EmbeddedPostgres):
    """A server in recovery: it takes no statement that writes."""

    async def after_start(self) -> None:
        """Change nothing."""


@contextlib.asynccontextmanager
async def standby_of(primary: EmbeddedPostgres, folder: Path) -> AsyncIterator[Standby]:
    """Run a synchronous streaming standby."""
    standby = Standby(folder / "standby", tcp=True)
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


def dsn_of(*servers: EmbeddedPostgres) -> str:
    """Return a DSN of several hosts, of which only the writer is used."""
    parts = urlsplit(servers[0].databases.url("chat"))
    hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers)
    user = parts.netloc.rpartition("@")[0]
    return f"postgresql://{user}@{hosts}/chat?target_session_attrs=read-write"


async def answers(replica: ChatReplica) -> bool:
    response = await replica.user().chat("Hi [[fake tokens=1]]")
    assert response.status_code in {200, 503}, response.text
    assert response.status_code == 200 or response.headers["retry-after"]
    return response.status_code == 200


async def test_no_turn_is_lost_when_a_standby_is_promoted(tmp_path: Path, open_replica: OpenReplica) -> None:
    async with (
        own_postgres(tmp_path) as primary,
        standby_of(primary, tmp_path) as standby,
        open_replica(dsn_of(primary, standby), finish_pending_after=120) as replica,
    ):
        user = replica.user()
        turns = [asyncio.create_task(user.chat(PROMPT)) for _ in range(TURNS)]
        await eventually(lambda: _all_admitted(replica), within=SETUP_TIMEOUT)
        await processes.kill(primary.child, port=primary.port)
        await eventually(lambda: _refuses(replica), within=SETUP_TIMEOUT)
        await promote(standby)
        promoted_at = time.monotonic()
        await eventually(lambda: answers(replica), within=SETUP_TIMEOUT)
        recovery = time.monotonic() - promoted_at
        responses = await asyncio.gather(*turns)
        found = [(response.status_code, response.json().get("message")) for response in responses]
        assert found == [(200, WHOLE)] * TURNS
        assert recovery <= RECOVERY_TIMEOUT, f"service back {recovery:.1f} s after the promotion"


async def promote(standby: EmbeddedPostgres) -> None:
    """Make a standby the primary, whose commits wait for no other standby."""
    connection = await asyncpg.connect(standby.url)
    assert await connection.fetchval("SELECT pg_promote()")
    await connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
    await connection.execute("SELECT pg_reload_conf()")
    await connection.close()


async def _all_admitted(replica: ChatReplica) -> bool:
    return bool(await replica.pool.fetchval("SELECT count(*) FROM turns") == TURNS)


async def _refuses(replica: ChatReplica) -> bool:
    return not await answers(replica)
