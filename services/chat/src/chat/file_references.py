"""IDs of files in OpenAI's form, and references to files in the messages of a prompt."""

import re
from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

from parley.ids import parse_id

SCHEME = "parley-file:"
"""Begins the address of a file that is read before the call of the provider. Clients cannot send it."""
FILE = "file"
"""Type of a part that a text, or an image, replaces before the call of the provider."""
UNNAMED = "file"
"""Name of a file whose data came without one."""
_OPENAI_ID = re.compile(r"file-([0-9a-f]{32})\Z")

Part = dict[str, Any]


def openai_id(file_id: UUID) -> str:
    """Return the ID of a file below ``/v1``."""
    return f"file-{file_id.hex}"


def parse_openai_id(given: str) -> UUID | None:
    """Return the file of an ID below ``/v1``; None if it is not one. A UUID is itself."""
    match = _OPENAI_ID.match(given)
    return UUID(match[1]) if match is not None else parse_id(given)


def reference(file_id: UUID) -> str:
    """Return the address that refers to a file in a message."""
    return f"{SCHEME}{file_id}"


def file_part(file_id: UUID) -> Part:
    """Return the part of a message that refers to a file of any type."""
    return {"type": FILE, FILE: {"file_id": reference(file_id)}}


def data_part(filename: str | None, data: str) -> Part:
    """Return the part of a message that has the data of a file, in base64 or as a data URL."""
    return {"type": FILE, FILE: {"filename": filename or UNNAMED, "file_data": data}}


def image_part(file_id: UUID) -> Part:
    """Return the part of a message that shows the image of a file."""
    return {"type": "image_url", "image_url": {"url": reference(file_id), "detail": "auto"}}


def referenced_file(part: Any) -> UUID | None:
    """Return the file that a part of a message refers to; None for any other part."""
    kind = part.get("type") if isinstance(part, dict) else None
    source = part.get(kind) if kind in {FILE, "image_url"} else None
    url = source.get("url" if kind == "image_url" else "file_id") if isinstance(source, dict) else None
    return UUID(url.removeprefix(SCHEME)) if isinstance(url, str) and url.startswith(SCHEME) else None


def referenced_files(messages: Iterable[dict[str, Any]]) -> Iterator[UUID]:
    """Yield the files that messages refer to."""
    return (found for part in parts_of(messages) if (found := referenced_file(part)) is not None)


def is_file(part: Any) -> bool:
    """Tell whether a part is a file of any type: a reference, or its data."""
    return isinstance(part, dict) and part.get("type") == FILE


def parts_of(messages: Iterable[dict[str, Any]]) -> Iterator[Any]:
    """Yield the parts of messages whose content is not just a text."""
    for message in messages:
        content = message.get("content")
        yield from content if isinstance(content, list) else ()
