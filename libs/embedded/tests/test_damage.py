"""Damaged data folders: what is repaired, and what is reported in one line with a way on."""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from parley_embedded.base_server import EmbeddedServer
from parley_embedded.errors import EmbeddedError
from parley_embedded.postgres.leftovers import remove_stale_lock
from parley_embedded.postgres.server import EmbeddedPostgres
from parley_embedded.process.pid_file import PidFile
from parley_embedded.valkey.server import EmbeddedValkey

pytestmark = pytest.mark.integration

GARBAGE = bytes(range(128, 256))
PID_FILE, PASSWORD = "cluster/postmaster.pid", "superuser-password"

Copy = Callable[[str], Path]
"""Returns a copy of the data folder of a stopped server: `postgres` or `valkey`."""


@pytest.fixture(scope="module")
async def originals(stopped_postgres: Path, short_folder: Path) -> dict[str, Path]:
    """Folders of a Postgres with one table and of a Valkey with one key, both stopped."""
    async with EmbeddedValkey(short_folder / "valkey") as valkey, Redis.from_url(valkey.url) as client:
        await client.set("key", "value")
    return {"postgres": stopped_postgres, "valkey": valkey.data_dir}


@pytest.fixture
def copy(originals: dict[str, Path], copy_folder: Callable[[Path, Path], None], short_folder: Path) -> Iterator[Copy]:
    target = short_folder / "copy"

    def make(name: str) -> Path:
        copy_folder(originals[name], target)
        return target

    yield make
    shutil.rmtree(target, ignore_errors=True)


async def answer(server: EmbeddedPostgres) -> object:
    async with server:
        connection = await asyncpg.connect(server.url, timeout=10)
        try:
            return await connection.fetchval("SELECT answer FROM kept")
        finally:
            await connection.close()


async def failure(server: EmbeddedServer) -> str:
    with pytest.raises(EmbeddedError) as caught:
        await server.start()
    assert not server.running
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\n", b"garbage\n", b"-1", b"0\n", b"9" * 5000, GARBAGE])
def test_a_damaged_pid_file_names_no_process(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "postmaster.pid"
    file.write_bytes(content)
    assert PidFile(file).read_running() is None
    remove_stale_lock(file, tmp_path)
    assert not file.exists()


@pytest.mark.parametrize("content", [b"-1", GARBAGE])
async def test_a_damaged_pid_file_does_not_prevent_a_start(copy: Copy, content: bytes) -> None:
    folder = copy("postgres")
    (folder / PID_FILE).write_bytes(content)
    (folder / "postgresql.pid").write_bytes(content)
    assert await answer(EmbeddedPostgres(folder)) == 42


async def test_the_pid_file_of_a_foreign_process_does_not_prevent_a_start_and_the_process_lives(copy: Copy) -> None:
    folder = copy("postgres")
    with subprocess.Popen(["sleep", "600"]) as foreign:
        (folder / PID_FILE).write_text(f"{foreign.pid}\n{folder}/cluster\n1700000000\n5432\n{folder}/run\n\n")
        assert await answer(EmbeddedPostgres(folder)) == 42
        assert foreign.poll() is None
        foreign.kill()


@pytest.mark.parametrize("content", [None, GARBAGE])
async def test_a_lost_superuser_password_is_replaced(copy: Copy, content: bytes | None) -> None:
    folder = copy("postgres")
    (folder / PASSWORD).unlink()
    if content is not None:
        (folder / PASSWORD).write_bytes(content)
    assert await answer(EmbeddedPostgres(folder)) == 42
    assert await answer(EmbeddedPostgres(folder)) == 42


async def test_a_wrong_superuser_password_is_reported_and_removing_the_file_helps(copy: Copy) -> None:
    server = EmbeddedPostgres(copy("postgres"))
    (server.data_dir / PASSWORD).write_text("W" * 32)
    found = await failure(server)
    assert f"Remove {server.data_dir / PASSWORD}: the next start sets a new password" in found
    (server.data_dir / PASSWORD).unlink()
    assert await answer(server) == 42


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("cluster/PG_VERSION", b"", "PG_VERSION is missing or damaged. Restore"),
        ("cluster/PG_VERSION", GARBAGE, "PG_VERSION is missing or damaged. Restore"),
        ("cluster/postgresql.conf", b"max_conn", "contains errors .* Restore .* from a backup, or move it away"),
        ("cluster/pg_hba.conf", b"", "could not load .* Restore .* from a backup, or move it away"),
        ("cluster/pg_hba.conf", b"host all all 192.0.2.1/32 reject\n", "refused the login: no pg_hba.conf entry"),
        ("cluster/global/pg_control", b"", "Restore .* from a backup, or move it away"),
    ],
)
async def test_a_damaged_cluster_is_reported_with_a_way_on(
    copy: Copy, name: str, content: bytes, expected: str
) -> None:
    folder = copy("postgres")
    (folder / name).write_bytes(content)
    assert re.search(expected, await failure(EmbeddedPostgres(folder)))


@pytest.mark.parametrize("name", [PID_FILE, PASSWORD, "postgresql.pid", "cluster/PG_VERSION"])
async def test_a_folder_in_place_of_a_file_of_postgres_is_reported(copy: Copy, name: str) -> None:
    folder = copy("postgres")
    (folder / name).unlink(missing_ok=True)
    (folder / name).mkdir()
    found = await failure(EmbeddedPostgres(folder))
    assert found == f"{folder / name} is not a regular file. Move it away and start again."


@pytest.mark.parametrize("content", [b"", GARBAGE, b'two words "x\n'])
async def test_a_damaged_password_of_valkey_is_replaced(copy: Copy, content: bytes) -> None:
    folder = copy("valkey")
    (folder / "password").write_bytes(content)
    (folder / "valkey.conf").write_bytes(content)
    async with EmbeddedValkey(folder) as server, Redis.from_url(server.url) as client:
        assert await client.get("key") == b"value"


async def test_a_damaged_append_only_file_is_reported_and_moving_it_away_helps(copy: Copy) -> None:
    folder = copy("valkey")
    for path in folder.glob("appendonlydir/*"):
        path.write_bytes(b"garbage\n")
    assert f"If its data is damaged, move {folder} away" in await failure(EmbeddedValkey(folder))
    shutil.move(folder, folder.with_name("moved"))
    async with EmbeddedValkey(folder) as server, Redis.from_url(server.url) as client:
        assert await client.ping()
    shutil.rmtree(folder.with_name("moved"))


async def test_a_folder_in_place_of_the_configuration_is_reported(copy: Copy) -> None:
    folder = copy("valkey")
    (folder / "valkey.conf").unlink()
    (folder / "valkey.conf").mkdir()
    assert f"Cannot use {folder / 'valkey.conf'}: Is a directory" in await failure(EmbeddedValkey(folder))
