"""The file of an upload: its size, digest and type are found while it is written."""

import hashlib
from collections.abc import AsyncIterator, Collection

from chat.file_errors import StorageFull
from chat.files.media_types import MediaTypeDetector
from chat.files.model import FileContent
from chat.files.store import ObjectWriter
from chat.files.upload_form import FileData, FileStarted, FormEvent, FormField
from parley.errors import BodyTooLarge, InvalidRequest
from parley.field_errors import FieldError

DEFAULT_PURPOSE = "chat"


async def start_of_file(form: AsyncIterator[FormEvent], purposes: Collection[str]) -> tuple[str, str]:
    """Read a form up to its file; returns the purpose so far and the name of the file. Raises InvalidRequest."""
    purpose = DEFAULT_PURPOSE
    async for event in form:
        if isinstance(event, FileStarted):
            return purpose, event.filename
        if isinstance(event, FormField):
            purpose = _purpose(event, purposes) or purpose
    raise InvalidRequest(errors=[FieldError("/file", "required", "Send the file as the part `file`, with a name.")])


async def receive_file(
    form: AsyncIterator[FormEvent], writer: ObjectWriter, purposes: Collection[str], *, limit: int, room: int
) -> tuple[FileContent, str | None]:
    """Write the file of a form and read the rest of the form.

    Returns what was written, and a purpose that followed. ``limit`` is the largest file and ``room`` what is left of
    all files, in bytes. Raises BodyTooLarge, StorageFull, UnsupportedFile and InvalidRequest.
    """
    size, digest, detector, purpose = 0, hashlib.sha256(), MediaTypeDetector(), None
    async for event in form:
        if isinstance(event, FormField):
            purpose = _purpose(event, purposes) or purpose
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
    return FileContent(size, digest.digest(), media_type, detector.text_tokens), purpose


def _purpose(field: FormField, purposes: Collection[str]) -> str | None:
    """Return the purpose that a field sets; None for other fields, which clients may add."""
    if field.name != "purpose":
        return None
    if field.value not in purposes:
        detail = f"Must be one of {', '.join(f'`{name}`' for name in sorted(purposes))}."
        raise InvalidRequest(errors=[FieldError("/purpose", "unsupported", detail)])
    return field.value
