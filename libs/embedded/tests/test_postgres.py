"""Embedded PostgreSQL: crashes, leftovers, sockets, access and upgrades."""

import asyncio
import os
import shutil
import stat
import subprocess
from pathlib import Path

import asyncpg
import pytest

from parley_embedded.errors import EmbeddedError
from parley_embedded.postgres.account import ServerAccount, account_of_user, choose_account
from parley_embedded.postgres.programs import copy_programs
from parley_embedded.postgres.server import ChooseAccount, EmbeddedPostgres
from parley_embedded.process.pid_file import processes_in
from parley_testing import eventually

pytestmark = pytest.mark.integration


async def account_with_closed_programs(cluster: Path, programs: Path) -> ServerAccount:
    """Another user, for programs in a folder that only root may enter."""
    closed = cluster.parent.parent / "closed"
    copied = copy_programs(programs, closed)
    closed.chmod(0o700)
    return await account_of_user(cluster, copied)


# Becoming another user is root's way where user namespaces are forbidden; others have one way only.
ACCOUNTS: list[ChooseAccount] = [
    choose_account,
    *([account_with_closed_programs] if os.geteuid() == 0 else []),
]


async def query(dsn: str, sql: str) -> object:
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


@pytest.mark.parametrize("account", ACCOUNTS)
async def test_a_killed_server_starts_again_with_its_data(short_folder: Path, account: ChooseAccount) -> None:
    home = short_folder / "home"
    home.mkdir(mode=0o700)
    async with EmbeddedPostgres(home / "killed", choose_account=account) as server:
        await query(server.url, "CREATE TABLE kept AS SELECT 42 AS answer")
        await server.kill()
        await server.start()
        assert await query(server.url, "SELECT answer FROM kept") == 42
    assert list(processes_in(server.cluster, "postgres")) == []
    assert not stat.S_IMODE(home.stat().st_mode) & 0o067
    shutil.rmtree(home)


async def test_a_data_folder_that_the_other_user_cannot_reach_is_reported_in_one_line(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "home").mkdir(parents=True)
    closed.chmod(0o700)
    with pytest.raises(EmbeddedError, match=r"cannot enter .*home\. Set PARLEY_DATA_DIR") as caught:
        await account_of_user(closed / "home/postgres/cluster", tmp_path)
    assert "\n" not in str(caught.value)


async def test_a_server_that_outlived_its_parent_is_stopped_before_a_start(own_postgres: EmbeddedPostgres) -> None:
    lost = own_postgres
    await lost.start()
    lost.child.pid_file.remove()
    async with EmbeddedPostgres(lost.data_dir, durable=False) as server:
        assert not lost.running
        assert await query(server.url, "SELECT 1") == 1


async def test_a_pid_file_of_another_process_does_not_prevent_a_start(own_postgres: EmbeddedPostgres) -> None:
    async with own_postgres as server:
        await server.kill()
        lock = server.cluster / "postmaster.pid"
        lock.write_text(lock.read_text().replace(str(server.child.pid), str(os.getpid()), 1))
        await server.start()
        assert await query(server.url, "SELECT 1") == 1


async def test_the_lock_file_of_a_zombie_does_not_prevent_a_start(own_postgres: EmbeddedPostgres) -> None:
    async with own_postgres as server:
        await server.kill()
        with subprocess.Popen(["true"]) as zombie:
            await eventually(lambda: "Z" in Path(f"/proc/{zombie.pid}/stat").read_text().rpartition(")")[2])
            locks = [server.cluster / "postmaster.pid", *server.data_dir.rglob("*.lock")]
            for lock in locks:
                lock.write_text(lock.read_text().replace(str(server.child.pid), str(zombie.pid), 1))
            await server.start()
            assert len(locks) == 2
            assert await query(server.url, "SELECT 1") == 1


async def test_a_server_in_a_deep_folder_uses_a_short_socket_path(tmp_path: Path) -> None:
    async with EmbeddedPostgres(tmp_path / ("deep" * 30), durable=False) as server:
        assert await query(server.url, "SELECT 1") == 1
        assert str(tmp_path) not in server.url


async def test_a_server_on_tcp_keeps_its_port_over_a_restart(own_postgres: EmbeddedPostgres) -> None:
    async with EmbeddedPostgres(own_postgres.data_dir, durable=False, tcp=True) as server:
        url = server.url
        assert f"127.0.0.1:{server.port}" in url
        await server.stop()
        await server.start()
        assert await query(url, "SELECT 1") == 1


async def test_a_frozen_server_does_not_answer_until_it_is_resumed(own_postgres: EmbeddedPostgres) -> None:
    async with own_postgres as server:
        connection = await asyncpg.connect(server.url, timeout=10)
        server.freeze()
        question = asyncio.create_task(connection.fetchval("SELECT 1"))
        done, _ = await asyncio.wait([question], timeout=0.3)
        assert not done
        server.resume()
        assert await asyncio.wait_for(question, 10) == 1
        await connection.close()


async def test_a_busy_session_does_not_delay_the_restart_after_a_kill(own_postgres: EmbeddedPostgres) -> None:
    async with own_postgres as server:
        connection = await asyncpg.connect(server.url, timeout=10)
        busy = asyncio.create_task(connection.fetchval("SELECT count(*) FROM generate_series(1, 10000000000)"))
        await eventually(lambda: any(_is_running(found.pid) for found in processes_in(server.cluster, "postgres")))
        await server.kill()
        await server.start()
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await busy


def _is_running(pid: int) -> bool:
    return "SELECT" in Path(f"/proc/{pid}/cmdline").read_text()


async def test_a_role_can_connect_to_its_own_database_only(postgres: EmbeddedPostgres) -> None:
    databases = postgres.databases
    for name in ("auth", "chat"):
        await databases.create_role_and_database(name, f"{name} secret'")
        await databases.create_role_and_database(name, f"{name} secret'")
    assert await query(databases.url("auth", "auth", "auth secret'"), "SELECT current_user") == "auth"
    for foreign in ("chat", "postgres", "template1"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await query(databases.url(foreign, "auth", "auth secret'"), "SELECT 1")


async def test_a_wrong_password_is_rejected_on_the_socket(postgres: EmbeddedPostgres) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await query(postgres.databases.url("postgres", "parley", "wrong"), "SELECT 1")


async def test_a_service_role_can_create_the_extensions_for_search(postgres: EmbeddedPostgres) -> None:
    await postgres.databases.create_role_and_database("history", "pw")
    dsn = postgres.databases.url("history", "history", "pw")
    for extension in ("pg_trgm", "btree_gin", "unaccent"):
        await query(dsn, f"CREATE EXTENSION {extension}")


async def test_text_is_handled_as_unicode(postgres: EmbeddedPostgres) -> None:
    assert await query(postgres.url, "SELECT lower('ÄÉ')") == "äé"


async def test_a_database_is_copied_from_a_template_and_dropped(postgres: EmbeddedPostgres) -> None:
    await postgres.databases.create_database("original")
    await query(postgres.databases.url("original"), "CREATE TABLE copied AS SELECT 1")
    await postgres.databases.create_database("copy", template="original")
    assert await query(postgres.databases.url("copy"), "SELECT count(*) FROM copied") == 1
    await postgres.databases.drop_database("copy")
    await postgres.databases.drop_database("copy")
    assert not await postgres.databases.exists("copy")


@pytest.mark.parametrize("name", ["", "A", 'a"b', "a-b", "1a", "a" * 64])
async def test_an_invalid_database_name_is_rejected(postgres: EmbeddedPostgres, name: str) -> None:
    with pytest.raises(EmbeddedError, match="is not a valid name"):
        await postgres.databases.drop_database(name)


async def test_user_data_does_not_reach_the_log(postgres: EmbeddedPostgres) -> None:
    with pytest.raises(asyncpg.PostgresError):
        await query(postgres.url, "SELECT 'my private words'::int")
    assert "my private words" not in postgres.child.log.read_text()


async def test_only_the_owner_can_enter_the_folder(postgres: EmbeddedPostgres) -> None:
    assert stat.S_IMODE(postgres.data_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE((postgres.data_dir / "superuser-password").stat().st_mode) == 0o600


async def test_data_of_another_version_is_reported_in_one_line(short_folder: Path) -> None:
    server = EmbeddedPostgres(short_folder / "old", durable=False)
    server.cluster.mkdir(parents=True)
    (server.cluster / "PG_VERSION").write_text("16\n")
    with pytest.raises(EmbeddedError, match=r"PostgreSQL 16 created .*; this is version 18\. Dump it") as caught:
        await server.start()
    assert "\n" not in str(caught.value)


async def test_a_folder_that_is_not_a_cluster_is_reported_in_one_line(short_folder: Path) -> None:
    server = EmbeddedPostgres(short_folder / "odd", durable=False)
    server.cluster.mkdir(parents=True)
    with pytest.raises(EmbeddedError, match="is not a PostgreSQL cluster"):
        await server.start()


async def test_an_interrupted_initdb_is_repeated(short_folder: Path) -> None:
    server = EmbeddedPostgres(short_folder / "half", durable=False)
    half = server.cluster.with_suffix(".new")
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    async with server:
        assert await query(server.url, "SELECT 1") == 1


async def test_stop_ends_sessions_and_leaves_no_process(own_postgres: EmbeddedPostgres) -> None:
    server = own_postgres
    await server.start()
    connection = await asyncpg.connect(server.url, timeout=10)
    await server.stop()
    assert server.child.exit_status == 0
    assert list(processes_in(server.cluster, "postgres")) == []
    connection.terminate()
