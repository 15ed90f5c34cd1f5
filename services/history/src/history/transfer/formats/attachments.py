"""Attachments of imported messages: they are named, not imported."""

from collections.abc import Sequence
from typing import Any

from history.transfer.drafts import SkippedPart
from history.transfer.formats.values import text_of

MAX_ATTACHMENTS = 20
"""Attachments of a message that are named."""
MAX_NAME_LENGTH = 100
"""Characters of an attachment's name."""


def attachment_names(attachments: Any, member: str) -> list[str]:
    """Return the names of a list of attachments; ``member`` has the name of one."""
    found = attachments[:MAX_ATTACHMENTS] if isinstance(attachments, list) else []
    return [text_of(one.get(member), MAX_NAME_LENGTH) or "unnamed" for one in found if isinstance(one, dict)]


def unsupported_attachment(pointer: str, name: str) -> SkippedPart:
    """Return the report of an attachment that is not imported."""
    return SkippedPart(pointer, "unsupported_content", f'The attachment "{name}" cannot be imported.')


def named_attachments(names: Sequence[str]) -> str:
    """Return the text of a message that has attachments and no text of its own."""
    return "\n".join(f"[{name}]" for name in names)
