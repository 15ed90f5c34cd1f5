"""Folders and downloaded programs for tests of the embedded servers."""

import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from parley_embedded.postgres.server import EmbeddedPostgres
from parley_testing.backends.memory_folder import make_data_folder


@pytest.fixture(scope="session")
def short_folder() -> Iterator[Path]:
    folder = make_data_folder()
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
async def stopped_postgres(short_folder: Path) -> Path:
    """The data folder of a stopped server with one table. A copy starts in a fraction of the time of initdb."""
    async with EmbeddedPostgres(short_folder / "stopped", durable=False) as server:
        connection = await asyncpg.connect(server.url, timeout=10)
        await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        await connection.close()
    return server.data_dir


@pytest.fixture(scope="session")
def copy_folder() -> Callable[[Path, Path], None]:
    """Copies a data folder with the owners of its files."""

    def copy(source: Path, target: Path) -> None:
        subprocess.run(["cp", "-a", source, target], check=True)

    return copy


@pytest.fixture
def own_postgres(
    stopped_postgres: Path, copy_folder: Callable[[Path, Path], None], short_folder: Path
) -> Iterator[EmbeddedPostgres]:
    """A server of one test, stopped, on a copy of that folder."""
    folder = short_folder / "own"
    copy_folder(stopped_postgres, folder)
    yield EmbeddedPostgres(folder, durable=False)
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
async def postgres(
    stopped_postgres: Path, copy_folder: Callable[[Path, Path], None], short_folder: Path
) -> AsyncIterator[EmbeddedPostgres]:
    copy_folder(stopped_postgres, short_folder / "shared")
    async with EmbeddedPostgres(short_folder / "shared", durable=False) as server:
        yield server
