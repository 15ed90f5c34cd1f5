"""Files of users in buckets of S3, Google Cloud Storage and Azure: the contract of stores, and what breaks them."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator

import pytest
from storage_emulators.servers import BUCKET, Emulator

from chat.files.collector import FileCollector
from chat.files.model import FileLimits, object_key
from chat.files.service import FileService
from chat.files.upload_form import FileData, FileStarted, FormEvent
from chat.storage.object_errors import StoreFailed
from chat.storage.object_storage import ObjectStorage
from chat_testing.buckets import SECRET, bucket_settings
from chat_testing.files import InMemoryFileRows
from chat_testing.object_contract import DATA, LONG, PIECE, ObjectContract, content, write
from parley.ids import new_id
from parley_testing.faults.tcp_proxy import TcpProxy
from parley_testing.telemetry.captured_logs import captured_logs

pytestmark = pytest.mark.chaos

MAX_ADDED = {"s3": 12_000_000, "gs": 12_000_000, "az": 5_000_000}
"""Bytes of two parts of the smallest size that the provider takes, and a little more."""
LIMITS = FileLimits(file_bytes=100_000_000, storage_bytes=100_000_000, count=10)


@pytest.fixture
def storage(provider: str, emulator: Emulator) -> ObjectStorage:
    return ObjectStorage(f"{provider}://{BUCKET}/prefix", bucket_settings(provider, emulator.url))


@pytest.fixture
async def proxy(emulator: Emulator) -> AsyncIterator[TcpProxy]:
    async with TcpProxy("127.0.0.1", emulator.port) as found:
        yield found


@pytest.fixture
def behind_proxy(provider: str, proxy: TcpProxy) -> ObjectStorage:
    settings = bucket_settings(provider, f"http://127.0.0.1:{proxy.port}", files_timeout=1)
    return ObjectStorage(f"{provider}://{BUCKET}/prefix", settings)


async def form(data: bytes) -> AsyncIterator[FormEvent]:
    yield FileStarted("a.txt")
    for start in range(0, len(data), PIECE):
        yield FileData(data[start : start + PIECE])


async def listed(storage: ObjectStorage) -> set[object]:
    return {found async for page in storage.old(age=-60) for found in page}


class TestBuckets(ObjectContract):
    """The contract that a folder fulfils, too."""


async def test_more_objects_than_a_page_are_listed(storage: ObjectStorage) -> None:
    made = {new_id() for _ in range(12)}
    for file_id in made:
        await write(storage, object_key(file_id), b"x")
    assert made <= await listed(storage)


async def test_a_bucket_that_does_not_exist_is_no_missing_file(provider: str, emulator: Emulator) -> None:
    storage = ObjectStorage(f"{provider}://nobucket/prefix", bucket_settings(provider, emulator.url))
    key = object_key(new_id())
    for call in (write(storage, key, DATA), write(storage, key, LONG), content(storage, key), storage.ping()):
        with pytest.raises(StoreFailed) as raised:
            await call
        assert raised.value.reason == "bucket_not_found"
    with pytest.raises(StoreFailed):
        await listed(storage)


async def test_rows_are_kept_while_their_bucket_does_not_exist(provider: str, emulator: Emulator) -> None:
    storage = ObjectStorage(f"{provider}://nobucket/prefix", bucket_settings(provider, emulator.url))
    rows = InMemoryFileRows()
    with pytest.raises(StoreFailed):
        await FileService(rows, storage).upload(new_id(), form(b"text"), limits=LIMITS, purposes=(), length=None)
    assert {row.status for row in rows.rows.values()} == {"deleted"}
    with pytest.raises(StoreFailed):
        await FileCollector(rows, storage).remove_deleted()
    assert rows.rows


async def test_a_wrong_key_is_refused_and_appears_nowhere(az: Emulator) -> None:
    settings = bucket_settings("az", az.url, azure_storage_account_key="d3JvbmdrZXk=")
    storage, key = ObjectStorage(f"az://{BUCKET}/prefix", settings), object_key(new_id())
    with captured_logs() as logs:
        for call in (write(storage, key, DATA), write(storage, key, LONG), content(storage, key), storage.remove(key)):
            with pytest.raises(StoreFailed) as raised:
                await call
            assert raised.value.reason == "access_refused"
    assert logs
    for secret in (SECRET, "d3JvbmdrZXk=", "wrongkey"):
        assert secret not in str(logs)


@pytest.mark.parametrize("fault", ["black_hole", "refuse"])
async def test_an_upload_that_loses_its_bucket_leaves_nothing(
    storage: ObjectStorage, behind_proxy: ObjectStorage, proxy: TcpProxy, fault: str
) -> None:
    before, rows = await listed(storage), InMemoryFileRows()

    async def lost() -> AsyncIterator[FormEvent]:
        yield FileStarted("a.txt")
        for start in range(0, len(LONG), PIECE):
            if start > len(LONG) // 2:
                setattr(proxy.toxics, fault, True)
                if fault == "refuse" and proxy.open_connections:
                    proxy.cut()
            yield FileData(b"a" * PIECE)

    with pytest.raises(StoreFailed) as raised:
        await FileService(rows, behind_proxy).upload(new_id(), lost(), limits=LIMITS, purposes=(), length=None)
    assert raised.value.reason == "unavailable"
    assert proxy.counters.forward > 5_000_000, "the bucket was lost before the first part"
    assert proxy.counters.refused or proxy.counters.swallowed
    assert {row.status for row in rows.rows.values()} == {"deleted"}
    assert await listed(storage) == before


async def test_a_bucket_that_comes_back_is_used_again(behind_proxy: ObjectStorage, proxy: TcpProxy) -> None:
    key = object_key(new_id())
    proxy.toxics.refuse = True
    with pytest.raises(StoreFailed):
        await write(behind_proxy, key, DATA)
    assert proxy.counters.refused
    proxy.toxics.refuse = False
    await write(behind_proxy, key, DATA)
    assert await content(behind_proxy, key) == DATA


async def test_files_are_uploaded_read_archived_and_deleted(storage: ObjectStorage) -> None:
    rows, user = InMemoryFileRows(), new_id()
    service = FileService(rows, storage)
    file = await service.upload(user, form(b"a" * len(LONG)), limits=LIMITS, purposes=(), length=None)
    assert b"".join([piece async for piece in await service.content(file, range(5, 9))]) == b"aaaa"
    archived = b"".join([piece async for piece in service.archive(user)])
    assert len(archived) > len(LONG)
    await service.delete(user, file.id)
    assert rows.rows == {}
    with pytest.raises(FileNotFoundError):
        await content(storage, object_key(file.id))


async def test_an_upload_of_50_mib_adds_no_more_than_the_parts_that_it_collects(
    provider: str, emulator: Emulator
) -> None:
    words = (sys.executable, "-m", "storage_emulators.upload_memory", provider, emulator.url)
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = await asyncio.create_subprocess_exec(*words, env=variables, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert process.returncode == 0
    assert int(output) < MAX_ADDED[provider], f"{int(output):,} bytes were added"
