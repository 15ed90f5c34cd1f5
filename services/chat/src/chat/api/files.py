"""``/api/v1/files``: upload, list, download and deletion of files."""

import contextlib
import re
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from chat import errors, file_errors
from chat.api.byte_ranges import requested_range
from chat.api.dependencies import ApiServices, Caller, Services
from chat.api.pages import DEFAULT_LIMIT, Limit
from chat.files.model import StoredFile
from chat.files.service import FileService
from chat.files.upload_fields import CREATED_AT, DEFAULT_PURPOSE, MAX_LIFETIME, MIN_LIFETIME
from chat.files.upload_form import boundary_of, read_form
from chat.protocols.parley.files import FileResource, resource
from parley.errors import BodyTooLarge, InvalidCursor, InvalidRequest, UnsupportedMediaType, ValidationFailed
from parley.ids import parse_id
from parley.security.identity import Principal
from parley.web import cursors
from parley.web.attachment import attachment
from parley.web.conditional_requests import NOT_MODIFIED, not_modified
from parley.web.etags import has_current
from parley.web.openapi import EXAMPLE_ID, ResponseDocs, header, header_parameter, location, problems
from parley.web.schemas import Page

router = APIRouter(prefix="/api/v1/files", tags=["files"])

PURPOSES = frozenset({DEFAULT_PURPOSE})
CURSOR = "files"
INERT = "sandbox; default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""``Content-Security-Policy`` of a download: a browser that displays it runs no script and loads nothing."""
NOT_CACHED = "private, no-store"
_SUFFIX = re.compile(r"[A-Za-z0-9]{1,16}\Z")
FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "purpose": {"type": "string", "default": DEFAULT_PURPOSE},
                        "expires_after[anchor]": {"type": "string", "enum": [CREATED_AT]},
                        "expires_after[seconds]": {
                            "type": "integer",
                            "minimum": MIN_LIFETIME,
                            "maximum": MAX_LIFETIME,
                            "description": "Seconds after which the file is deleted. It needs `expires_after[anchor]`.",
                        },
                    },
                },
                "example": {"file": "(the bytes of the file)", "purpose": DEFAULT_PURPOSE},
            }
        },
    }
}
UPLOAD_ERRORS = problems(
    InvalidRequest,
    BodyTooLarge,
    UnsupportedMediaType,
    errors.Erased,
    file_errors.StorageFull,
    file_errors.FilesNotOffered,
    file_errors.FilesUnavailable,
)
NOT_FOUND = problems(file_errors.FileNotFound, file_errors.FilesNotOffered)
_LISTED = problems(file_errors.FilesNotOffered, InvalidCursor, ValidationFailed)
_ETAG = f'"{"0c" * 32}"'
_BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_HEADERS = {
    "Accept-Ranges": header("Ranges are served.", "bytes"),
    "Content-Disposition": header("Name of the file.", 'attachment; filename="plan.pdf"'),
    "ETag": header("SHA-256 of the file.", _ETAG),
}
CONTENT: ResponseDocs = {
    200: {
        "description": "The bytes of the file.",
        "headers": _HEADERS,
        "content": _BYTES,
    },
    206: {
        "description": "The bytes of the range.",
        "headers": {**_HEADERS, "Content-Range": header("The range.", "bytes 0-1023/48211")},
        "content": _BYTES,
    },
}
ARCHIVE: ResponseDocs = {
    200: {
        "description": "The archive. A connection that breaks before the end leaves one without `files.json`.",
        "headers": {"Content-Disposition": header("Name of the archive.", 'attachment; filename="parley-files.tar"')},
        "content": {"application/x-tar": {"schema": {"type": "string", "format": "binary"}}},
    }
}
DOWNLOAD: ResponseDocs = {
    **CONTENT,
    **NOT_MODIFIED,
    **NOT_FOUND,
    **problems(file_errors.RangeNotSatisfiable, file_errors.FilesUnavailable),
}
DOWNLOAD_HEADERS: dict[str, Any] = {
    "parameters": [
        header_parameter("Range", "One range of bytes. Several ranges return the whole file.", "bytes=0-1023"),
        header_parameter("If-None-Match", "ETag of the file that you have: the response is 304 without a body.", _ETAG),
        header_parameter("If-Range", "ETag of the file whose range is wanted; another returns the whole file.", _ETAG),
    ]
}


def files_of(services: ApiServices) -> FileService:
    """Return the file service; raises FilesNotOffered."""
    if services.files is None:
        raise file_errors.FilesNotOffered
    return services.files


@router.post(
    "",
    status_code=201,
    openapi_extra=FORM,
    responses={201: {"headers": location("The file.", f"/api/v1/files/{EXAMPLE_ID}")}, **UPLOAD_ERRORS},
)
async def upload_file(request: Request, response: Response, principal: Caller, services: Services) -> FileResource:
    """Upload a file. Its type is determined by its content: a PNG, JPEG, GIF or WebP image, a PDF, or a text in UTF-8.

    The plan limits the bytes of a file, the bytes of all files, and their number. With `expires_after[seconds]`, the
    file is deleted after that time.
    """
    stored = await receive(request, principal, services, PURPOSES)
    response.headers["Location"] = f"/api/v1/files/{stored.id}"
    return resource(stored)


@router.get("", responses=_LISTED)
async def list_files(
    principal: Caller,
    services: Services,
    limit: Limit = DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Page[FileResource]:
    """List the caller's files, newest first."""
    before = cursors.decode(CURSOR, cursor, [UUID])[0] if cursor is not None else None
    found = await files_of(services).page(principal.user_id, before, limit + 1)
    data = [resource(file) for file in found[:limit]]
    more = len(found) > limit
    return Page(data=data, next_cursor=cursors.encode(CURSOR, [str(data[-1].id)]) if more else None)


@router.get("/archive", response_class=StreamingResponse, responses={**ARCHIVE, **_LISTED})
async def export_files(principal: Caller, services: Services) -> StreamingResponse:
    """Download all files of the caller as a tar archive: each as `<id>/<name>`, and a list of them, `files.json`."""
    headers = {
        "Content-Disposition": attachment("parley-files", "tar", fallback="files"),
        "Content-Security-Policy": INERT,
        "Cache-Control": NOT_CACHED,
    }
    files = files_of(services)
    return StreamingResponse(files.archive(principal.user_id), media_type="application/x-tar", headers=headers)


@router.get("/{file_id}", responses=NOT_FOUND)
async def get_file(file_id: str, principal: Caller, services: Services) -> FileResource:
    """Return one file."""
    return resource(await files_of(services).find(principal.user_id, parse_id(file_id)))


@router.get("/{file_id}/content", response_class=StreamingResponse, openapi_extra=DOWNLOAD_HEADERS, responses=DOWNLOAD)
async def download_file(request: Request, file_id: str, principal: Caller, services: Services) -> Response:
    """Download a file, or one range of its bytes. Browsers save it and never show it."""
    files = files_of(services)
    return await download(request, files, await files.find(principal.user_id, parse_id(file_id)))


@router.delete("/{file_id}", status_code=204, responses=NOT_FOUND)
async def delete_file(file_id: str, principal: Caller, services: Services) -> None:
    """Delete a file. Conversations that contain it keep their text."""
    await files_of(services).delete(principal.user_id, parse_id(file_id))


async def receive(
    request: Request, principal: Principal, services: ApiServices, purposes: frozenset[str]
) -> StoredFile:
    """Store the file of a request, whose body is read piece by piece."""
    files = files_of(services)
    form = read_form(request.stream(), boundary_of(request.headers.get("content-type", "")))
    length = request.headers.get("content-length", "")
    async with contextlib.aclosing(form):
        return await files.upload(
            principal.user_id,
            form,
            limits=services.budgets.plan(principal.plan).file_limits(),
            purposes=purposes,
            length=int(length) if length.isdecimal() else None,
        )


async def download(request: Request, files: FileService, file: StoredFile) -> Response:
    """Return the response with the bytes of a file, or with the range that the request asks for."""
    etag, headers = f'"{file.sha256.hex()}"', request.headers
    if has_current(headers.get("if-none-match"), etag):
        return not_modified(etag, NOT_CACHED)
    stem, _, suffix = file.filename.rpartition(".")
    named = (stem, suffix) if stem and _SUFFIX.match(suffix) else (file.filename, "")
    charset = "; charset=utf-8" if file.media_type.startswith("text/") else ""
    part = requested_range(headers.get("range"), headers.get("if-range"), etag=etag, size=file.size)
    partial = {"Content-Range": f"bytes {part.start}-{part.stop - 1}/{file.size}"} if part else {}
    return StreamingResponse(
        await files.content(file, part),
        status_code=206 if part else 200,
        headers={
            "Content-Type": f"{file.media_type}{charset}",
            "Content-Length": str(len(part) if part else file.size),
            "Content-Disposition": attachment(*named, fallback="file"),
            "Content-Security-Policy": INERT,
            "Cache-Control": NOT_CACHED,
            "Accept-Ranges": "bytes",
            "ETag": etag,
            **partial,
        },
    )
