"""Files, the limits of a user, and where the bytes of a file are."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from parley.ids import parse_id

MAX_FILE_BYTES = 536_870_912
"""Bytes of the largest file that a plan can allow."""
TEXT_SUFFIX = ".txt"
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
    text_tokens: int | None = None
    """Estimated tokens of the text; None for images, and for a PDF that was not read yet."""
    text_error: str | None = None
    """Code of the error of a PDF whose text cannot be read."""
    expires_at: datetime | None = None
    """When the file is deleted; None for a file that its owner deletes."""

    @property
    def is_image(self) -> bool:
        """Tell whether models with the capability ``vision`` read the file."""
        return self.media_type in IMAGE_TYPES


@dataclass(frozen=True, slots=True)
class FileContent:
    """What an upload has received: its size, its digest, the type that the content shows, and what the form says."""

    size: int
    sha256: bytes
    media_type: str
    text_tokens: int | None
    purpose: str
    lifetime: int | None
    """Seconds from the creation of the file to its deletion."""


def object_key(file_id: UUID) -> str:
    """Return the name of a file's object. Nothing that a client sends is part of it."""
    return f"files/{file_id.hex[-2:]}/{file_id}"


def text_key(file_id: UUID) -> str:
    """Return the name of the object with the text of a PDF."""
    return f"{object_key(file_id)}{TEXT_SUFFIX}"


def file_of_object(name: str) -> UUID | None:
    """Return the file of an object's name, without folders; None for the object of somebody else."""
    return parse_id(name.removesuffix(TEXT_SUFFIX))
