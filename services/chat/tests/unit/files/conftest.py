"""Fixtures of the tests of files."""

from collections.abc import AsyncIterator

import pytest

from chat_testing.files_bench import FilesBench


@pytest.fixture
async def bench() -> AsyncIterator[FilesBench]:
    """The routes of files on in-memory stores."""
    found = FilesBench()
    yield found
    await found.http.aclose()
