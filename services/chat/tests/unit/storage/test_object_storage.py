"""Objects in a folder and in the bucket of ``FILES_TEST_URL``, and a bucket that is away."""

import asyncio
import contextlib
import os
from pathlib import Path

import pytest

from chat.file_errors import FilesUnavailable
from chat.files.model import object_key, text_key
from chat.storage.object_storage import MAX_RETRIES, ObjectStorage
from parley.ids import new_id

BUCKETS = list(filter(None, [os.environ.get("FILES_TEST_URL")]))
DATA = bytes(range(256)) * 256
LONG = DATA * 100
"""More than a part of a multipart upload."""


async def content(storage: ObjectStorage, key: str, part: range | None = None) -> bytes:
    return b"".join([piece async for piece in storage.read(key, part)])


@pytest.fixture(params=["folder", *BUCKETS])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStorage:
    return ObjectStorage(tmp_path.as_uri() if request.param == "folder" else request.param)


@pytest.mark.parametrize("data", [DATA, LONG], ids=["short", "long"])
async def test_an_object_is_read_whole_and_in_parts_listed_and_removed(storage: ObjectStorage, data: bytes) -> None:
    file_id = new_id()
    for key in (object_key(file_id), text_key(file_id)):
        async with storage.writing(key) as writer:
            for start in range(0, len(data), 65_536):
                await writer.write(data[start : start + 65_536])
    assert await content(storage, object_key(file_id)) == data
    assert await content(storage, object_key(file_id), range(1000, 60_000)) == data[1000:60_000]
    assert file_id in {found async for page in storage.old(age=-60) for found in page}
    for key in (object_key(file_id), text_key(file_id), object_key(file_id)):
        await storage.remove(key)
    assert file_id not in {found async for page in storage.old(age=-60) for found in page}
    with pytest.raises(FileNotFoundError):
        await content(storage, object_key(file_id))


async def test_an_upload_that_fails_leaves_no_object(storage: ObjectStorage) -> None:
    key = object_key(new_id())
    with contextlib.suppress(ZeroDivisionError):
        async with storage.writing(key) as writer:
            await writer.write(LONG)
            raise ZeroDivisionError
    with pytest.raises(FileNotFoundError):
        await content(storage, key)


async def test_a_bucket_that_is_away_is_unavailable_after_few_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = 0

    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal attempts
        attempts += 1
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)
        bucket = ObjectStorage("s3://bucket/prefix")
        with pytest.raises(FilesUnavailable):
            await content(bucket, object_key(new_id()))
    assert 0 < attempts <= MAX_RETRIES + 1
