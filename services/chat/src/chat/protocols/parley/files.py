"""Response schemas of files."""

from typing import Literal
from uuid import UUID

from pydantic import Field

from chat.files.model import StoredFile
from parley.times import Timestamp
from parley.web.schemas import ResponseBody


class FileResource(ResponseBody):
    """One file."""

    id: UUID
    filename: str
    media_type: str = Field(description="Determined by the content, not by the name.")
    bytes: int
    sha256: str
    purpose: str
    status: Literal["ready", "processing", "failed"]
    text_tokens: int | None = Field(
        description="Estimated tokens of the text; null for images, and for a PDF that no message has had yet."
    )
    created_at: Timestamp
    expires_at: Timestamp | None = Field(description="When the file is deleted; null unless the upload said so.")


def resource(file: StoredFile) -> FileResource:
    """Return a file as a resource."""
    return FileResource(
        id=file.id,
        filename=file.filename,
        media_type=file.media_type,
        bytes=file.size,
        sha256=file.sha256.hex(),
        purpose=file.purpose,
        status="ready",
        text_tokens=file.text_tokens,
        created_at=file.created_at,
        expires_at=file.expires_at,
    )
