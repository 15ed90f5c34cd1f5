"""Texts of files for models. The text of a PDF is extracted once and kept beside the file."""

from collections.abc import AsyncIterator
from uuid import UUID

from chat.errors import UnsupportedContent
from chat.file_errors import TEXT_ERRORS, FileTextError
from chat.files.media_types import PDF, TEXT, is_text, type_of
from chat.files.model import StoredFile, object_key, text_key
from chat.files.pdf_process import MAX_TEXT_BYTES
from chat.files.store import FileRows, Objects
from chat.files.text_extractor import TextExtractor
from chat.files.text_frame import CUT
from chat.token_estimate import estimate

UNREADABLE = "Models read PDF and text files. The file is neither."


class FileTexts:
    """Reads the texts of files. Without rows and objects, it reads data of requests only."""

    def __init__(self, rows: FileRows | None, objects: Objects | None, extractor: TextExtractor) -> None:
        self._rows, self._objects, self._extractor = rows, objects, extractor

    async def read(self, file: StoredFile) -> str:
        """Return the text of a file; raises UnsupportedContent, FileTextError, Overloaded and FilesUnavailable.

        Raises FileNotFoundError for a file without object.
        """
        assert self._objects is not None
        if file.text_error is not None:
            raise TEXT_ERRORS[file.text_error](file.filename)
        if file.media_type == TEXT:
            return await _beginning(self._objects.read(object_key(file.id)))
        if file.media_type != PDF:
            raise UnsupportedContent(UNREADABLE)
        if file.text_tokens is not None:
            try:
                return await _beginning(self._objects.read(text_key(file.id)))
            except FileNotFoundError:  # a restored database is newer than the objects
                pass
        return await self._extract(file, self._objects)

    async def read_data(self, user_id: UUID, data: bytes, filename: str) -> str:
        """Return the text of a file that is part of a request; raises as ``read`` does."""
        if type_of(data) == PDF:
            return await self._extractor.extract(user_id, _once(data), filename)
        if not is_text(data):
            raise UnsupportedContent(UNREADABLE)
        return await _beginning(_once(data))

    async def _extract(self, file: StoredFile, objects: Objects) -> str:
        assert self._rows is not None
        try:
            text = await self._extractor.extract(file.user_id, objects.read(object_key(file.id)), file.filename)
        except FileTextError as error:
            await self._rows.set_text(file.id, tokens=None, error=error.code)
            raise
        async with objects.writing(text_key(file.id)) as writer:
            await writer.write(text.encode())
        if not await self._rows.set_text(file.id, tokens=estimate(text), error=None):  # deleted meanwhile
            await objects.remove(text_key(file.id))
            raise FileNotFoundError
        return text


async def _beginning(pieces: AsyncIterator[bytes]) -> str:
    """Return a text, of which the end is cut off if it is too long."""
    found = bytearray()
    async for piece in pieces:
        found += piece
        if len(found) > MAX_TEXT_BYTES + len(CUT):
            return found[:MAX_TEXT_BYTES].decode("utf-8", "ignore") + CUT
    return found.decode("utf-8", "ignore")


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
