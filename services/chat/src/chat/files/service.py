"""Files of users: upload, list, download and deletion."""

import contextlib
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, replace
from uuid import UUID

import structlog

from chat.file_errors import FileNotFound
from chat.files.archive import archive
from chat.files.collector import FileCollector, remove_objects
from chat.files.model import FileLimits, StoredFile, object_key
from chat.files.receiving import receive_file, start_of_file
from chat.files.store import FileRows, Objects
from chat.files.text_extractor import TextExtractor
from chat.files.texts import FileTexts
from chat.files.upload_fields import UploadFields
from chat.files.upload_form import FileData, FormEvent
from parley.errors import DependencyUnavailable, InvalidRequest
from parley.ids import new_id
from parley.process.tasks import background
from parley.process.timeouts import at_most
from parley.process.upload_slots import UploadSlots

log = structlog.get_logger()

MAX_UPLOADS = 16
"""Uploads of a process at once. One holds up to 10 MiB for S3 and Google, 2 MiB for Azure, and 256 KiB for a folder.
When all slots are taken, a slow upload ends for a user without one."""
MAX_UPLOADS_OF_USER = 2
TOO_MANY_UPLOADS = f"Too many uploads run. At most {MAX_UPLOADS_OF_USER} of a user run at once."
ARCHIVE_PAGE = 100
UPLOAD_TIMEOUT = 3600.0
"""Maximum seconds of an upload. After twice as long, its process must have died: the collector removes what is left."""
TOO_LONG = "The upload took more than an hour. Nothing was stored. Send it over a faster connection, or split the file."


class FileService:
    """Receives, lists, returns and deletes files."""

    def __init__(self, rows: FileRows, objects: Objects) -> None:
        self._rows, self._objects = rows, objects
        self._uploads = UploadSlots(MAX_UPLOADS, MAX_UPLOADS_OF_USER, TOO_MANY_UPLOADS)

    async def upload(
        self,
        user_id: UUID,
        form: AsyncIterator[FormEvent],
        *,
        limits: FileLimits,
        purposes: Collection[str],
        length: int | None,
    ) -> StoredFile:
        """Store the file of a form. ``length``: the bytes of the whole body, if they are known.

        Raises BodyTooLarge, UnsupportedFile, StorageFull, Erased, Overloaded, InvalidRequest and FilesUnavailable.
        """
        async with self._uploads.take(user_id) as slot:
            paced = slot.paced(form, _file_bytes)
            async with at_most(UPLOAD_TIMEOUT):
                return await self._receive(user_id, paced, limits, purposes, length)
        raise InvalidRequest(TOO_LONG)

    async def page(
        self, user_id: UUID, before: UUID | None, limit: int, *, purpose: str | None = None
    ) -> list[StoredFile]:
        """Return a user's files, newest first; with a ``purpose``, those of it."""
        return await self._rows.page(user_id, before, limit, purpose=purpose)

    async def find(self, user_id: UUID, file_id: UUID | None) -> StoredFile:
        """Return a user's file; raises FileNotFound."""
        found = await self._rows.find(user_id, [file_id]) if file_id is not None else []
        if not found:
            raise FileNotFound
        return found[0]

    async def content(self, file: StoredFile, part: range | None = None) -> AsyncIterator[bytes]:
        """Return bytes of a file, of which the first are read; raises FileNotFound and FilesUnavailable."""
        pieces = self._objects.read(object_key(file.id), part)
        try:
            first = await anext(pieces, b"")
        except FileNotFoundError:
            log.error("file_without_object", file_id=str(file.id))  # noqa: TRY400 - the exception says no more
            raise FileNotFound from None
        return _chained(first, pieces)

    def archive(self, user_id: UUID) -> AsyncIterator[bytes]:
        """Yield a tar archive of a user's files, newest first; raises FilesUnavailable."""
        return archive(self._all(user_id), lambda file: self._objects.read(object_key(file.id)))

    async def _all(self, user_id: UUID) -> AsyncIterator[StoredFile]:
        before = None
        while page := await self._rows.page(user_id, before, ARCHIVE_PAGE):
            for file in page:
                # The client may have read for hours since the page was. The object of a deleted file may still exist.
                for found in await self._rows.find(user_id, [file.id]):
                    yield found
            before = page[-1].id

    async def delete(self, user_id: UUID, file_id: UUID | None) -> None:
        """Delete a user's file; raises FileNotFound. The collector retries the removal of its object."""
        if file_id is None or not await self._rows.delete(user_id, file_id):
            raise FileNotFound
        await self._remove(file_id)

    async def _receive(
        self,
        user_id: UUID,
        form: AsyncIterator[FormEvent],
        limits: FileLimits,
        purposes: Collection[str],
        length: int | None,
    ) -> StoredFile:
        fields = UploadFields(purposes)
        filename = await start_of_file(form, fields)
        file_id = new_id()
        wanted = limits.file_bytes if length is None else min(length, limits.file_bytes)
        room = await self._rows.begin(file_id, user_id, filename, wanted=wanted, limits=limits)
        stored: StoredFile | None = None
        try:
            async with self._objects.writing(object_key(file_id)) as writer:
                content = await receive_file(form, writer, fields, limit=limits.file_bytes, room=room)
            stored = await self._rows.complete(file_id, user_id, content)
        finally:
            if stored is None:
                await self._abandon(file_id)
        if stored is None:
            raise DependencyUnavailable("The upload was given up. Send the file again.")
        return stored

    async def _abandon(self, file_id: UUID) -> None:
        try:
            await self._rows.abandon(file_id)
        except DependencyUnavailable:  # the row may be that of a complete file, whose commit was not confirmed
            log.warning("upload_left_to_the_collector", file_id=str(file_id))
        else:
            await self._remove(file_id)

    async def _remove(self, file_id: UUID) -> None:
        try:
            await remove_objects(self._objects, file_id)
            await self._rows.removed([file_id])
        except DependencyUnavailable:
            log.warning("object_left_to_the_collector", file_id=str(file_id))


@dataclass(frozen=True, slots=True)
class OpenFiles:
    """What a running chat has of files. ``rows`` and ``service`` are None if files are not offered."""

    collector: FileCollector
    texts: FileTexts
    rows: FileRows | None = None
    service: FileService | None = None


@contextlib.asynccontextmanager
async def open_files(rows: FileRows, objects: Objects | None, *, service: str) -> AsyncIterator[OpenFiles]:
    """Run the collector. Without ``objects``, files are not offered."""
    collector = FileCollector(rows, objects)
    async with background("files", collector.run, service=service):
        texts = FileTexts(rows, objects, TextExtractor())
        found = OpenFiles(collector, texts)
        yield found if objects is None else replace(found, rows=rows, service=FileService(rows, objects))


def _file_bytes(event: FormEvent) -> int:
    return len(event.data) if isinstance(event, FileData) else 0


async def _chained(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece
