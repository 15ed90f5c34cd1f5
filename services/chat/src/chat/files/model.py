"""Files, the limits of a user, and where the bytes of a file are."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

MAX_FILE_BYTES = 536_870_912
"""Bytes of the largest file that a plan can allow."""
IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")


@dataclass(frozen=True, slots=True)
class FileLimits:
    """What a plan allows: bytes of one file, bytes of all files, and their number."""

    file_bytes: int
    storage_bytes: int
    count: int


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A complete file."""

    id: UUID
    user_id: UUID
    filename: str
    media_type: str
    size: int
    sha256: bytes
    purpose: str
    created_at: datetime

    @property
    def is_image(self) -> bool:
        """Tell whether models with the capability ``vision`` read the file."""
        return self.media_type in IMAGE_TYPES


@dataclass(frozen=True, slots=True)
class FileContent:
    """What an upload has received: its size, its digest, and the type that the content shows."""

    size: int
    sha256: bytes
    media_type: str


def object_key(file_id: UUID) -> str:
    """Return the name of a file's object. Nothing that a client sends is part of it."""
    return f"files/{file_id.hex[-2:]}/{file_id}"
