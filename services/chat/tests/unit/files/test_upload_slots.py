"""Uploads while all slots are taken."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

from chat.files.model import StoredFile
from chat.files.service import MAX_UPLOADS, MAX_UPLOADS_OF_USER, FileService
from chat.files.upload_form import FileData, FileStarted, FormEvent
from chat_testing.files import InMemoryFileRows, InMemoryObjects
from chat_testing.files_bench import PLAN
from parley.errors import Overloaded
from parley.ids import new_id
from parley_testing.virtual_time import virtual_time


async def _form(interval: float) -> AsyncIterator[FormEvent]:
    yield FileStarted("a.txt")
    for _ in range(500):
        await asyncio.sleep(interval)
        yield FileData(b"x")


async def _upload(files: FileService, user_id: UUID, form: AsyncIterator[FormEvent]) -> StoredFile:
    limits = PLAN.file_limits()
    return await files.upload(user_id, form, limits=limits, purposes=frozenset({"chat"}), length=None)


@virtual_time
async def test_a_slow_upload_ends_when_all_slots_are_taken_and_another_user_waits() -> None:
    rows, objects = InMemoryFileRows(), InMemoryObjects()
    files, users = FileService(rows, objects), [new_id() for _ in range(MAX_UPLOADS // MAX_UPLOADS_OF_USER)]
    slow = [asyncio.create_task(_upload(files, user_id, _form(1.0))) for user_id in users * MAX_UPLOADS_OF_USER]
    await asyncio.sleep(60)
    stored = await _upload(files, new_id(), _form(0.0))
    assert stored.size == 500
    assert len(rows.rows) == MAX_UPLOADS  # the new file and the uploads that go on
    ended = [one for one in await asyncio.gather(*slow, return_exceptions=True) if not isinstance(one, StoredFile)]
    assert [type(error) for error in ended] == [Overloaded]
    assert len(objects.objects) == MAX_UPLOADS
