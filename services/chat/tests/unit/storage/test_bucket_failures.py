"""Buckets that are away, slow, overloaded, missing or closed to us: what clients and operators see."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from chat.bucket_settings import BucketSettings
from chat.files.collector import FileCollector
from chat.files.model import FileLimits, object_key
from chat.files.service import FileService
from chat.files.upload_form import FileData, FileStarted, FormEvent
from chat.storage.bucket import MAX_RETRIES
from chat.storage.object_errors import DETAILS, Reason, StoreFailed
from chat.storage.object_storage import ObjectStorage
from chat_testing.buckets import PROVIDERS, SECRET, bucket_settings
from chat_testing.files import InMemoryFileRows
from chat_testing.object_contract import DATA, LONG, content, write
from parley.ids import new_id
from parley_testing.http.scripted_server import RecordedRequest, ScriptedServer, respond, scripted_server
from parley_testing.telemetry.captured_logs import captured_logs

NO_BUCKET = {
    "s3": b"<Error><Code>NoSuchBucket</Code><Message>The specified bucket does not exist</Message></Error>",
    "gs": b"<Error><Code>NoSuchBucket</Code><Message>The specified bucket does not exist.</Message></Error>",
    "az": b"<Error><Code>ContainerNotFound</Code><Message>The specified container does not exist.</Message></Error>",
}
ERROR = f"<Error><Code>Any</Code><Message>{SECRET}</Message></Error>".encode()
"""An error whose text repeats a secret, as those about signatures do."""
TEXT, LONG_TEXT = b"a" * len(DATA), b"a" * len(LONG)
LIMITS = FileLimits(file_bytes=100_000_000, storage_bytes=100_000_000, count=10)


@pytest.fixture(params=PROVIDERS)
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with scripted_server() as found:
        yield found


def storage_of(provider: str, server: ScriptedServer, **changed: Any) -> ObjectStorage:
    return ObjectStorage(f"{provider}://bucket/prefix", bucket_settings(provider, server.url, **changed))


async def hang(_seen: RecordedRequest, _writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def reset(_seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    await asyncio.sleep(0)


async def form(data: bytes) -> AsyncIterator[FormEvent]:
    yield FileStarted("a.txt")
    for start in range(0, len(data), 65_536):
        yield FileData(data[start : start + 65_536])


FAULTS: dict[str, tuple[Any, Reason]] = {
    "busy": (respond(503, ERROR), "unavailable"),
    "broken": (respond(500, ERROR), "unavailable"),
    "reset": (reset, "unavailable"),
    "slow": (hang, "unavailable"),
    "forbidden": (respond(403, ERROR), "access_refused"),
    "unauthenticated": (respond(401, ERROR), "access_refused"),
    "missing": (None, "bucket_not_found"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_each_failure_of_a_bucket_is_told_apart_and_leaves_nothing(
    provider: str, server: ScriptedServer, fault: str
) -> None:
    answer, reason = FAULTS[fault]
    server.answer = answer or respond(404, NO_BUCKET[provider])
    storage, key = storage_of(provider, server, files_timeout=0.3), object_key(new_id())
    rows = InMemoryFileRows()
    with captured_logs() as logs:
        for call in (content(storage, key), write(storage, key, DATA), storage.remove(key), storage.ping()):
            with pytest.raises(StoreFailed) as raised:
                await call
            assert (raised.value.reason, raised.value.code, raised.value.status) == (
                reason,
                "dependency_unavailable",
                503,
            )
            assert raised.value.detail == "The storage of files is unavailable."
            assert raised.value.status_detail == DETAILS[reason]
            assert SECRET not in repr(raised.value) + str(raised.value.__cause__)
            assert raised.value.__suppress_context__
        with pytest.raises(StoreFailed):
            await FileService(rows, storage).upload(new_id(), form(TEXT), limits=LIMITS, purposes=(), length=None)
    assert server.journal, "the fault was not reached"
    assert {entry["reason"] for entry in logs if entry["event"] == "file_store_failed"} == {reason}
    assert SECRET not in str(logs)
    assert await rows.page(new_id(), None, 10) == []
    assert {row.status for row in rows.rows.values()} <= {"deleted"}, "an upload that failed became a file"


async def test_a_long_upload_that_is_refused_midway_leaves_no_file(provider: str, server: ScriptedServer) -> None:
    server.answer = respond(503, ERROR)
    rows = InMemoryFileRows()
    service = FileService(rows, storage_of(provider, server))
    with pytest.raises(StoreFailed):
        await service.upload(new_id(), form(LONG_TEXT), limits=LIMITS, purposes=(), length=None)
    assert {row.status for row in rows.rows.values()} == {"deleted"}


async def test_rows_stay_until_their_objects_are_removed_from_a_bucket_that_is_missing(
    provider: str, server: ScriptedServer
) -> None:
    server.answer = respond(503, ERROR)
    rows = InMemoryFileRows()
    service = FileService(rows, storage_of(provider, server))
    with contextlib.suppress(StoreFailed):
        await service.upload(new_id(), form(TEXT), limits=LIMITS, purposes=(), length=None)
    server.answer = respond(404, NO_BUCKET[provider])
    with pytest.raises(StoreFailed):
        await FileCollector(rows, storage_of(provider, server)).remove_deleted()
    assert len(rows.rows) == 1


async def test_an_object_that_is_not_there_is_no_failure(provider: str, server: ScriptedServer) -> None:
    server.answer = respond(404, b"<Error><Code>NoSuchKey</Code></Error>")
    storage = storage_of(provider, server)
    with pytest.raises(FileNotFoundError) as raised:
        await content(storage, object_key(new_id()))
    assert raised.value.__cause__ is None
    await storage.ping()


async def test_a_bucket_that_is_away_is_unavailable_after_few_attempts(provider: str, server: ScriptedServer) -> None:
    server.answer = reset
    with pytest.raises(StoreFailed):
        await content(storage_of(provider, server), object_key(new_id()))
    assert 0 < len(server.journal) <= MAX_RETRIES + 1


async def test_a_port_that_nobody_listens_on_is_unavailable(provider: str, server: ScriptedServer) -> None:
    storage = storage_of(provider, server)
    await server.stop()
    with pytest.raises(StoreFailed) as raised:
        await content(storage, object_key(new_id()))
    assert raised.value.reason == "unavailable"


def test_secrets_are_not_part_of_the_settings_representation(provider: str) -> None:
    found = bucket_settings(provider, "http://127.0.0.1:1")
    assert SECRET not in repr(found)
    assert isinstance(found, BucketSettings)
