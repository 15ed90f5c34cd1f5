"""Folders and downloaded programs for tests of the embedded servers."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from parley_embedded.postgres.server import EmbeddedPostgres


@pytest.fixture(scope="session")
def short_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="parley-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
async def postgres(short_folder: Path) -> AsyncIterator[EmbeddedPostgres]:
    async with EmbeddedPostgres(short_folder / "shared", durable=False) as server:
        yield server
