"""Files in the messages of the AI SDK's chat transport: their data, addresses of images, and files of Parley."""

import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from uuid import UUID

from chat import errors
from chat.api.file_checks import check_image
from chat.api.request_checks import invalid
from chat.catalogue import Model
from chat.file_references import UNNAMED, openai_id, parse_openai_id
from chat.files.inline_data import decoded
from chat.files.text_frame import framed
from chat.input_items import TEXT_PARTS, items_of_turn, latest_user_items
from chat.model import Turn
from chat.protocols.ui_messages.schemas import FILE, UiMessage, UiPart

INVALID_FILE = "Must be the data of a file (`data:…;base64,…`), or the address of a file of `/api/v1/files`."
# Not ``urlsplit``: it normalizes the host, which takes quadratic time for combining marks.
_PATH = re.compile(r"(?:[a-z][a-z0-9+.-]*:)?(?://[^/?#]*)?([^?#]*)", re.IGNORECASE | re.ASCII)
_OWN_FILE = re.compile(r"/(?:api/)?v1/files/([\w-]{1,64})(?:/content)?\Z", re.ASCII)

Item = dict[str, Any]


def file_item(part: UiPart, pointer: str, model: Model) -> Item:
    """Return a file as a part of an input item; raises InvalidRequest, and UnsupportedContent for images."""
    item = _item_of(part)
    if "image_url" in item:
        if "vision" not in model.capabilities:
            raise errors.UnsupportedContent
        check_image(item["image_url"], f"{pointer}/url", model, files=False)
    elif "file_data" in item and not item["file_data"].startswith("data:"):
        raise invalid(f"{pointer}/url", "invalid_file", INVALID_FILE)
    return item


async def has_files_of(message: UiMessage, question: Turn, read: Callable[[list[Item]], Awaitable[str]]) -> bool:
    """Tell whether a message has the files of a turn's question.

    ``read`` returns the texts of files whose data is in the message: the turn keeps their texts, not their data.
    """
    shown = [_item_of(part) for part in message.parts if part.type == FILE]
    stored = [part for part in _question_parts(question) if part["type"] not in TEXT_PARTS]
    if list(map(_source, shown)) != list(map(_source, stored)):
        return False
    data = [part for part in shown if "file_data" in part]
    return not data or await read(data) == "\n\n".join(_stored_text(part) for part in stored if part.get("file_data"))


def _item_of(part: UiPart) -> Item:
    """Return a file as a part of an input item, without a check."""
    url, media_type = part.url or "", part.media_type or ""
    file_id = _own_file(url)
    if file_id is not None:
        return {"type": "input_file", "file_id": openai_id(file_id)}
    is_data = url.startswith("data:")
    if url.startswith("data:image/") or (media_type.startswith("image/") and not is_data):
        return {"type": "input_image", "image_url": url, "detail": "auto"}
    return {"type": "input_file", "filename": part.filename, "file_data": url}


def _question_parts(turn: Turn) -> Iterator[Item]:
    for item in latest_user_items(items_of_turn(turn)):
        content = item.get("content")
        yield from content if isinstance(content, list) else ()


def _source(part: Item) -> UUID | str | None:
    """Return the file or the address of a part, None for data."""
    return parse_openai_id(part["file_id"]) if part.get("file_id") else part.get("image_url")


def _stored_text(part: Item) -> str:
    return framed(part.get("filename") or UNNAMED, (decoded(part["file_data"]) or b"").decode("utf-8", "ignore"))


def _own_file(url: str) -> UUID | None:
    """Return the file of Parley behind an ID, or behind an address with or without a host."""
    if url.startswith("data:"):
        return None
    path = _PATH.match(url)
    found = _OWN_FILE.search(path[1]) if path is not None else None
    return parse_openai_id(found[1] if found is not None else url)
