"""The file of an upload: its size, digest and type are found while it is written."""

import hashlib
from collections.abc import AsyncIterator

from chat.file_errors import StorageFull
from chat.files.media_types import MediaTypeDetector
from chat.files.model import FileContent
from chat.files.store import ObjectWriter
from chat.files.upload_fields import UploadFields
from chat.files.upload_form import FileData, FileStarted, FormEvent, FormField
from parley.errors import BodyTooLarge, InvalidRequest
from parley.field_errors import FieldError


async def start_of_file(form: AsyncIterator[FormEvent], fields: UploadFields) -> str:
    """Read a form up to its file; returns the name of the file. Raises InvalidRequest."""
    async for event in form:
        if isinstance(event, FileStarted):
            return event.filename
        if isinstance(event, FormField):
            fields.read(event)
    raise InvalidRequest(errors=[FieldError("/file", "required", "Send the file as the part `file`, with a name.")])


async def receive_file(
    form: AsyncIterator[FormEvent], writer: ObjectWriter, fields: UploadFields, *, limit: int, room: int
) -> FileContent:
    """Write the file of a form and read the rest of the form, whose ``fields`` may follow the file.

    Returns what was written. ``limit`` is the largest file and ``room`` what is left of all files, in bytes. Raises
    BodyTooLarge, StorageFull, UnsupportedFile and InvalidRequest.
    """
    size, digest, detector = 0, hashlib.sha256(), MediaTypeDetector()
    async for event in form:
        if isinstance(event, FormField):
            fields.read(event)
        if not isinstance(event, FileData):
            continue
        size += len(event.data)
        if size > limit:
            raise BodyTooLarge(f"The file is too large: your plan allows {limit} bytes.")
        if size > room:
            raise StorageFull
        detector.feed(event.data)
        digest.update(event.data)
        await writer.write(event.data)
    if not size:
        raise InvalidRequest(errors=[FieldError("/file", "required", "The file is empty.")])
    media_type = detector.finish()
    return FileContent(
        size=size,
        sha256=digest.digest(),
        media_type=media_type,
        text_tokens=detector.text_tokens,
        purpose=fields.purpose,
        lifetime=fields.lifetime(),
    )
