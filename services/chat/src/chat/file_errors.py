"""Errors of files, with their stable codes."""

from parley.config.plans import QuotaExceeded
from parley.errors import DependencyUnavailable, InvalidRequest, NotFound, ParleyError, UnsupportedMediaType


class FileNotFound(NotFound):
    """The file does not exist."""

    code, title = "file_not_found", "File not found"
    remedy = "Use an ID listed by `GET /api/v1/files`, or upload the file again."


class RangeNotSatisfiable(ParleyError):
    """The range begins after the end of the file."""

    status, code, title = 416, "range_not_satisfiable", "Range not satisfiable"
    remedy = "Send a range within the length in `Content-Range`, or omit `Range`."

    def __init__(self, size: int) -> None:
        super().__init__(None, headers={"Content-Range": f"bytes */{size}"})


class FilesNotOffered(NotFound):
    """Files are not offered here: the operator has not set `FILES_URL`."""


class UnsupportedFile(UnsupportedMediaType):
    """The content of the file is none of the accepted types."""

    remedy = "Upload a PNG, JPEG, GIF or WebP image, a PDF, or a text in UTF-8. The name of the file does not matter."

    def __init__(self) -> None:
        detail = "The content is no PNG, JPEG, GIF or WebP image, no PDF, and no text in UTF-8."
        super().__init__("multipart/form-data", detail=detail)


class FileTextError(InvalidRequest):
    """The text of the file cannot be read."""

    def __init__(self, filename: str) -> None:
        reason = (type(self).__doc__ or self.title).removesuffix(".")
        super().__init__(f"{reason}: `{filename}`.")


class FileUnreadable(FileTextError):
    """The PDF is damaged, or uses a feature that Parley cannot read."""

    code, title = "file_unreadable", "File unreadable"
    remedy = "Save the PDF again with another program, or send its text."


class FileEncrypted(FileTextError):
    """The PDF is protected by a password."""

    code, title = "file_encrypted", "File encrypted"
    remedy = "Remove the password and upload the file again."


class FileWithoutText(FileTextError):
    """The PDF contains no text; it may be a scan."""

    code, title = "file_without_text", "File without text"
    remedy = "Run text recognition (OCR) on the PDF, or send its pages as images to a model with `vision`."


class FileTooLong(FileTextError):
    """The PDF is too large, has too many pages, or its text takes too long to read."""

    code, title = "file_too_long", "File too long"
    remedy = "Split the PDF, or send its text."


TEXT_ERRORS: dict[str, type[FileTextError]] = {
    kind.code: kind for kind in (FileUnreadable, FileEncrypted, FileWithoutText, FileTooLong)
}
"""Final errors of files by their codes, which the rows of the files keep."""


class StorageFull(QuotaExceeded):
    """Your files have reached the limit of your plan."""

    remedy = "Delete files, or upgrade the plan."


class FilesUnavailable(DependencyUnavailable):
    """The storage of files is unavailable."""
