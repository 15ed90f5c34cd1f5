"""Contract suite of the stores of files: subclass `ObjectContract` and provide a ``storage`` fixture."""

import contextlib

import pytest

from chat.files.model import object_key, text_key
from chat.storage.object_storage import ObjectStorage
from parley.ids import new_id

DATA = bytes(range(256)) * 256
LONG = DATA * 200
"""More than two parts of a multipart upload."""
PIECE = 65_536


async def write(storage: ObjectStorage, key: str, data: bytes) -> None:
    """Write an object in pieces, as an upload does."""
    async with storage.writing(key) as writer:
        for start in range(0, len(data), PIECE):
            await writer.write(data[start : start + PIECE])


async def content(storage: ObjectStorage, key: str, part: range | None = None) -> bytes:
    """Return the bytes of an object."""
    return b"".join([piece async for piece in storage.read(key, part)])


class ObjectContract:
    """What holds for every store, whether it is a folder or a bucket."""

    @pytest.mark.parametrize("data", [DATA, LONG], ids=["short", "long"])
    async def test_an_object_is_read_whole_and_in_parts_listed_and_removed(
        self, storage: ObjectStorage, data: bytes
    ) -> None:
        file_id = new_id()
        for key in (object_key(file_id), text_key(file_id)):
            await write(storage, key, data)
        assert await content(storage, object_key(file_id)) == data
        assert await content(storage, object_key(file_id), range(1000, 60_000)) == data[1000:60_000]
        assert file_id in {found async for page in storage.old(age=-60) for found in page}
        for key in (object_key(file_id), text_key(file_id), object_key(file_id)):
            await storage.remove(key)
        assert file_id not in {found async for page in storage.old(age=-60) for found in page}
        with pytest.raises(FileNotFoundError):
            await content(storage, object_key(file_id))

    async def test_an_object_that_is_written_again_has_the_new_content(self, storage: ObjectStorage) -> None:
        key = text_key(new_id())
        await write(storage, key, LONG)
        await write(storage, key, DATA)
        assert await content(storage, key) == DATA

    async def test_a_young_object_is_not_listed_as_old(self, storage: ObjectStorage) -> None:
        file_id = new_id()
        await write(storage, object_key(file_id), DATA)
        assert file_id not in {found async for page in storage.old(age=3600) for found in page}

    @pytest.mark.parametrize("data", [DATA, LONG], ids=["short", "long"])
    async def test_an_upload_that_fails_leaves_no_object(self, storage: ObjectStorage, data: bytes) -> None:
        file_id = new_id()
        with contextlib.suppress(ZeroDivisionError):
            async with storage.writing(object_key(file_id)) as writer:
                for start in range(0, len(data), PIECE):
                    await writer.write(data[start : start + PIECE])
                raise ZeroDivisionError
        with pytest.raises(FileNotFoundError):
            await content(storage, object_key(file_id))
        assert file_id not in {found async for page in storage.old(age=-60) for found in page}

    async def test_the_store_is_shown_as_available(self, storage: ObjectStorage) -> None:
        await storage.ping()
