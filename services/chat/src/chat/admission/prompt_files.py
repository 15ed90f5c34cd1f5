"""Files of a prompt: those of the request, which must be readable, and earlier ones, as far as they fit."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any
from uuid import UUID

from chat.admission.context_window import MIN_ANSWER_TOKENS, EarlierExchanges
from chat.admission.file_contents import FileContents, Message
from chat.admission.turn_request import TurnRequest
from chat.catalogue import Model
from chat.errors import ContextLengthExceeded, UnsupportedContent
from chat.file_errors import FileNotFound, FilesNotOffered, FileTextError
from chat.file_references import FILE, is_file, parts_of, referenced_file, referenced_files
from chat.files.image_loader import MAX_PROMPT_BYTES
from chat.files.inline_data import decoded, is_encoded_text
from chat.files.model import StoredFile
from chat.files.pdf_process import MAX_TEXT_BYTES
from chat.files.store import FileRows
from chat.files.text_frame import framed, left_out
from chat.files.texts import FileTexts
from chat.generation import PromptImage
from chat.token_estimate import CHARACTERS_PER_TOKEN, estimate
from parley.errors import InvalidRequest

MAX_NEW_FILES = 20
"""Files that a request names or contains."""
MAX_REFERENCES = 100
"""Newest references of a prompt that are looked up. Older files are left out."""

Images = dict[UUID, PromptImage]


@dataclass(frozen=True, slots=True)
class ContextFiles:
    """Messages of a prompt with the texts of their files, and the images that they refer to."""

    past: EarlierExchanges
    messages: Sequence[Message] | None
    images: Images


class PromptFiles:
    """Finds the files of a prompt. Without ``rows``, nothing is stored: requests have data of files, but no IDs."""

    def __init__(self, rows: FileRows | None, texts: FileTexts) -> None:
        self._rows, self._texts = rows, texts

    async def prepared(self, request: TurnRequest, model: Model) -> TurnRequest:
        """Return a request with the texts of its files.

        Raises FileNotFound, FilesNotOffered, FileTextError, UnsupportedContent, ContextLengthExceeded and
        InvalidRequest.
        """
        messages = [*(request.messages or ()), *(request.input_messages or ())]
        contents = await self.contents(request.user_id, messages, model)
        if contents is None:
            return request
        return replace(
            request,
            messages=contents.in_messages(request.messages),
            input_messages=contents.in_messages(request.input_messages),
            response=contents.in_response(request.response),
            capabilities=request.capabilities | contents.capabilities,
        )

    async def contents(self, user_id: UUID, messages: Sequence[Message], model: Model) -> FileContents | None:
        """Return the contents of the files of new messages, None if they have none; raises as ``prepared`` does."""
        new = Counter(referenced_files(messages))
        sent = [(given, part[FILE]["filename"]) for part in parts_of(messages) if (given := _data(part))]
        data, names = Counter(given for given, _ in sent), dict(sent)
        if not new and not data:
            return None
        if len(new) + len(data) > MAX_NEW_FILES:
            raise InvalidRequest(f"At most {MAX_NEW_FILES} files can be sent with a request.")
        files = await self._own(user_id, set(new)) if new else {}
        shown = {referenced_file(part) for part in parts_of(messages) if not is_file(part)}
        _require_images([file for file in files.values() if file.is_image or file.id in shown], model)
        found = FileContents({file.id for file in files.values() if file.is_image})
        room = _Room(model)
        for file in files.values():
            if not file.is_image:
                room.take(new[file.id] * _least_tokens(file))
                text = framed(file.filename, await self._text(file))
                room.take(new[file.id] * (estimate(text) - _least_tokens(file)))
                found.texts[file.id] = text
        for given, times in data.items():
            raw = await self._text_of_data(user_id, given, names[given])
            room.take(times * estimate(raw))
            found.data[given] = raw
        return found

    async def images(self, user_id: UUID, messages: Sequence[Message]) -> Images:
        """Return the images that messages refer to."""
        return _images(await self._found(user_id, set(islice(referenced_files(reversed(messages)), MAX_REFERENCES))))

    async def in_context(
        self, user_id: UUID, past: EarlierExchanges, messages: Sequence[Message] | None, model: Model
    ) -> ContextFiles:
        """Return the context with the texts of its files, the newest first, as far as the model can read them."""
        groups = [messages or (), *(exchange.input or () for exchange in past.exchanges)]
        newest = [part for group in groups for part in parts_of(reversed(group))]
        wanted = set(islice((file_id for part in newest if (file_id := referenced_file(part))), MAX_REFERENCES))
        if not wanted and not any(map(is_file, newest)):
            return ContextFiles(past, messages, {})
        files = await self._found(user_id, wanted)
        fitting = _FittingTexts(self._text, files, model.context_window)
        new_messages = await fitting.in_messages(messages)
        exchanges = [
            replace(exchange, input=await fitting.in_messages(exchange.input)) if exchange.input else exchange
            for exchange in past.exchanges
        ]
        return ContextFiles(replace(past, exchanges=exchanges), new_messages, _images(files))

    async def _own(self, user_id: UUID, wanted: set[UUID]) -> dict[UUID, StoredFile]:
        if self._rows is None:
            raise FilesNotOffered
        found = await self._found(user_id, wanted)
        if not wanted <= found.keys():
            raise FileNotFound
        return found

    async def _found(self, user_id: UUID, wanted: set[UUID]) -> dict[UUID, StoredFile]:
        if self._rows is None or not wanted:
            return {}
        return {file.id: file for file in await self._rows.find(user_id, wanted)}

    async def _text(self, file: StoredFile) -> str:
        try:
            return await self._texts.read(file)
        except FileNotFoundError:
            raise FileNotFound from None

    async def _text_of_data(self, user_id: UUID, given: str, filename: str) -> str:
        data = decoded(given)
        if data is None:
            raise UnsupportedContent("The data of the file is not base64.")
        return await self._texts.read_data(user_id, data, filename)


class _FittingTexts:
    """Texts of earlier files, as long as there is room. A file takes room as often as it is shown."""

    def __init__(
        self, read: Callable[[StoredFile], Awaitable[str]], files: Mapping[UUID, StoredFile], room: int
    ) -> None:
        self._read, self._files, self._room = read, files, room
        self._images = {file.id for file in files.values() if file.is_image}
        self._texts: dict[UUID, tuple[str, int]] = {}

    async def in_messages(self, messages: Sequence[Message] | None) -> list[Message] | None:
        """Return messages with the texts that fit. A note stands in place of every other one."""
        found = FileContents(self._images)
        uses = Counter(
            _data(part) or referenced_file(part) for part in parts_of(reversed(messages or ())) if is_file(part)
        )
        for source, times in uses.items():
            if isinstance(source, str):
                found.data[source] = text = self._text_of_data(source, self._room // times)
                self._room -= times * estimate(text)
            elif source is not None and source in self._files and source not in self._images:
                found.texts[source] = text = await self._text(self._files[source], self._room // times)
                self._room -= times * estimate(text)
        return found.in_messages(messages)

    def _text_of_data(self, given: str, room: int) -> str:
        raw = decoded(given) if is_encoded_text(given) and len(given) // 8 < room else None
        return (raw or b"").decode("utf-8", "ignore")

    async def _text(self, file: StoredFile, room: int) -> str:
        if _least_tokens(file) > room:
            return left_out(file.filename)
        if file.id not in self._texts:
            try:
                text = framed(file.filename, await self._read(file))
            except (FileTextError, FileNotFound, UnsupportedContent):
                text = left_out(file.filename)
            self._texts[file.id] = text, estimate(text)
        text, tokens = self._texts[file.id]
        return text if tokens <= room else left_out(file.filename)


class _Room:
    """Tokens that a model has for the texts of a request."""

    def __init__(self, model: Model) -> None:
        self._accepted, self._taken = model.context_window - MIN_ANSWER_TOKENS, 0

    def take(self, tokens: int) -> None:
        """Take tokens; raises ContextLengthExceeded."""
        self._taken += tokens
        if self._taken > self._accepted:
            raise ContextLengthExceeded(self._taken, self._accepted)


def _least_tokens(file: StoredFile) -> int:
    """Return the tokens that a text has at least, before it is read. A long one is cut, but counted as a whole."""
    return min(file.text_tokens or 0, MAX_TEXT_BYTES // CHARACTERS_PER_TOKEN)


def _data(part: Any) -> str | None:
    """Return the data of a part that has the data of a file."""
    return part[FILE].get("file_data") if is_file(part) else None


def _images(files: dict[UUID, StoredFile]) -> Images:
    return {file.id: PromptImage(file.media_type, file.size) for file in files.values() if file.is_image}


def _require_images(files: Sequence[StoredFile], model: Model) -> None:
    if not files:
        return
    if "vision" not in model.capabilities:
        raise UnsupportedContent
    if not all(file.is_image for file in files):
        raise UnsupportedContent("Images are PNG, JPEG, GIF and WebP files. Send another file as a file.")
    if sum(file.size for file in files) > MAX_PROMPT_BYTES:
        raise InvalidRequest(f"The images of a request have at most {MAX_PROMPT_BYTES} bytes together.")
