"""Lookup of the files that a prompt refers to."""

from dataclasses import replace
from itertools import islice

from chat.admission.context_window import PromptContext
from chat.admission.turn_request import TurnRequest
from chat.catalogue import Model
from chat.errors import FileNotFound, FilesNotOffered, UnsupportedContent
from chat.file_references import referenced_files
from chat.files.image_loader import MAX_PROMPT_BYTES
from chat.files.store import FileRows
from chat.generation import PromptImage
from parley.errors import InvalidRequest

MAX_NEW_IMAGES = 20
"""Files that a request may name."""
MAX_REFERENCES = 100
"""Newest references of a prompt that are looked up. Older images are left out."""


class ImageFinder:
    """Finds the files of a prompt. Without rows, files are not offered."""

    def __init__(self, rows: FileRows | None) -> None:
        self._rows = rows

    async def add_to(self, context: PromptContext, request: TurnRequest, model: Model) -> PromptContext:
        """Return the context with the files that its messages refer to.

        A file of the request must be an image of the caller: raises FileNotFound, FilesNotOffered, UnsupportedContent
        and InvalidRequest. An earlier one may be gone.
        """
        wanted = set(islice(referenced_files(reversed(context.messages)), MAX_REFERENCES))
        if not wanted:
            return context
        new = set(referenced_files([*(request.messages or ()), *(request.input_messages or ())]))
        if new and "vision" not in model.capabilities:
            raise UnsupportedContent
        if len(new) > MAX_NEW_IMAGES:
            raise InvalidRequest(f"At most {MAX_NEW_IMAGES} files can be sent with a request.")
        if self._rows is None:
            if new:
                raise FilesNotOffered
            return context
        found = {file.id: file for file in await self._rows.find(request.user_id, wanted | new)}
        if not new <= found.keys():
            raise FileNotFound
        if not all(found[file_id].is_image for file_id in new):
            raise UnsupportedContent("Models read PNG, JPEG, GIF and WebP images. The file is none.")
        if sum(found[file_id].size for file_id in new) > MAX_PROMPT_BYTES:
            raise InvalidRequest(f"The images of a request have at most {MAX_PROMPT_BYTES} bytes together.")
        images = {file.id: PromptImage(file.media_type, file.size) for file in found.values() if file.is_image}
        return replace(context, images=images)
