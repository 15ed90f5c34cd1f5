"""Emulators of the providers of buckets, each started once."""

from collections.abc import AsyncIterator

import pytest
from storage_emulators.servers import Emulator, azure_server, gcs_server, s3_server


@pytest.fixture(scope="session")
async def s3() -> AsyncIterator[Emulator]:
    """An S3 server."""
    async with s3_server() as found:
        yield found


@pytest.fixture(scope="session")
async def gs() -> AsyncIterator[Emulator]:
    """Google Cloud Storage."""
    async with gcs_server() as found:
        yield found


@pytest.fixture(scope="session")
async def az() -> AsyncIterator[Emulator]:
    """Azure's blob server."""
    async with azure_server() as found:
        yield found


@pytest.fixture(params=["s3", "gs", "az"])
def provider(request: pytest.FixtureRequest) -> str:
    """The scheme of the URLs of a provider."""
    return str(request.param)


@pytest.fixture
def emulator(request: pytest.FixtureRequest, provider: str) -> Emulator:
    """The emulator of the provider."""
    found: Emulator = request.getfixturevalue(provider)
    return found
