"""Files in the messages of the AI SDK's chat transport: their data, addresses of images, and files of Parley."""

import re
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from chat import errors
from chat.api.file_checks import check_image
from chat.api.request_checks import invalid
from chat.catalogue import Model
from chat.file_references import openai_id, parse_openai_id
from chat.protocols.ui_messages.schemas import UiPart

INVALID_FILE = "Must be the data of a file (`data:…;base64,…`), or the address of a file of `/api/v1/files`."
_OWN_FILE = re.compile(r"/(?:api/)?v1/files/([\w-]{1,64})(?:/content)?\Z", re.ASCII)

Item = dict[str, Any]


def file_item(part: UiPart, pointer: str, model: Model) -> Item:
    """Return a file as a part of an input item; raises InvalidRequest, and UnsupportedContent for images."""
    url, media_type = part.url or "", part.media_type or ""
    file_id = _own_file(url)
    if file_id is not None:
        return {"type": "input_file", "file_id": openai_id(file_id)}
    is_data = url.startswith("data:")
    if url.startswith("data:image/") or (media_type.startswith("image/") and not is_data):
        if "vision" not in model.capabilities:
            raise errors.UnsupportedContent
        check_image(url, f"{pointer}/url", model, files=False)
        return {"type": "input_image", "image_url": url, "detail": "auto"}
    if not is_data:
        raise invalid(f"{pointer}/url", "invalid_file", INVALID_FILE)
    return {"type": "input_file", "filename": part.filename, "file_data": url}


def _own_file(url: str) -> UUID | None:
    """Return the file of Parley behind an ID, or behind an address with or without a host."""
    if url.startswith("data:"):
        return None
    try:
        found = _OWN_FILE.search(urlsplit(url).path)
    except ValueError:  # no URL
        return None
    return parse_openai_id(found[1] if found is not None else url)
