"""IDs of files in OpenAI's form, and references to files in the messages of a prompt."""

import re
from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

from parley.ids import parse_id

SCHEME = "parley-file:"
"""Begins the address of an image that is loaded before the call of the provider. Clients cannot send it."""
_OPENAI_ID = re.compile(r"file-([0-9a-f]{32})\Z")


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


def referenced_file(part: Any) -> UUID | None:
    """Return the file that a part of a message refers to; None for any other part."""
    if not isinstance(part, dict) or part.get("type") != "image_url":
        return None
    url = part["image_url"].get("url") if isinstance(part.get("image_url"), dict) else None
    return UUID(url.removeprefix(SCHEME)) if isinstance(url, str) and url.startswith(SCHEME) else None


def referenced_files(messages: Iterable[dict[str, Any]]) -> Iterator[UUID]:
    """Yield the files that messages refer to."""
    for message in messages:
        content = message.get("content")
        for part in content if isinstance(content, list) else ():
            found = referenced_file(part)
            if found is not None:
                yield found
