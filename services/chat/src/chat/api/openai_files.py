"""``/v1/files``, OpenAI's Files API: the same files in its form."""

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response, StreamingResponse

from chat.api.dependencies import Caller, Services
from chat.api.documentation import json_docs
from chat.api.files import DOWNLOAD, DOWNLOAD_HEADERS, FORM, NOT_FOUND, UPLOAD_ERRORS, download, files_of, receive
from chat.api.pages import DEFAULT_LIMIT, Limit, Order
from chat.api.request_checks import invalid
from chat.file_errors import FilesNotOffered
from chat.file_references import openai_id, parse_openai_id
from chat.files.model import StoredFile
from chat.protocols.openai_responses.pages import first_page
from parley.errors import InvalidCursor, InvalidRequest
from parley.web.openapi import problems
from parley.web.schemas import Text

router = APIRouter(prefix="/v1/files", tags=["openai"])

PURPOSES = frozenset({"chat", "assistants", "user_data", "vision"})
_FILE = {
    "id": "file-01a200ae000070008000000000000001",
    "object": "file",
    "bytes": 48211,
    "created_at": 1795307719,
    "expires_at": None,
    "filename": "plan.pdf",
    "purpose": "user_data",
    "status": "processed",
}
_PAGE = {"object": "list", "data": [_FILE], "first_id": _FILE["id"], "last_id": _FILE["id"], "has_more": False}


@router.post("", openapi_extra=FORM, responses={**json_docs("The file.", _FILE), **UPLOAD_ERRORS})
async def upload_openai_file(request: Request, principal: Caller, services: Services) -> Response:
    """Upload a file. Purposes are `user_data`, `vision`, `assistants` and `chat`; they change nothing.

    With `expires_after`, the file is deleted after that time.
    """
    return _json(_object(await receive(request, principal, services, PURPOSES)))


@router.get(
    "", responses={**json_docs("A page of files.", _PAGE), **problems(FilesNotOffered, InvalidCursor, InvalidRequest)}
)
async def list_openai_files(
    principal: Caller,
    services: Services,
    *,
    limit: Limit = DEFAULT_LIMIT,
    order: Order = "desc",
    after: str | None = None,
    purpose: Annotated[Text | None, Query(max_length=64)] = None,
) -> Response:
    """List the caller's files, newest first; with ``purpose``, those of it."""
    if order != "desc":
        raise invalid("/order", "unsupported", "Files are listed newest first. Send `desc`, or omit it.")
    before = parse_openai_id(after) if after is not None else None
    if after is not None and before is None:
        raise InvalidCursor("`after` is not the ID of a file.")
    found = await files_of(services).page(principal.user_id, before, limit + 1, purpose=purpose)
    return _json(first_page([_object(file) for file in found], limit))


@router.get("/{file_id}", responses={**json_docs("The file.", _FILE), **NOT_FOUND})
async def get_openai_file(file_id: str, principal: Caller, services: Services) -> Response:
    """Return one file."""
    return _json(_object(await files_of(services).find(principal.user_id, parse_openai_id(file_id))))


@router.get("/{file_id}/content", response_class=StreamingResponse, openapi_extra=DOWNLOAD_HEADERS, responses=DOWNLOAD)
async def download_openai_file(request: Request, file_id: str, principal: Caller, services: Services) -> Response:
    """Download a file."""
    files = files_of(services)
    return await download(request, files, await files.find(principal.user_id, parse_openai_id(file_id)))


@router.delete(
    "/{file_id}",
    responses={
        **json_docs("The file is deleted.", {"id": _FILE["id"], "object": "file", "deleted": True}),
        **NOT_FOUND,
    },
)
async def delete_openai_file(file_id: str, principal: Caller, services: Services) -> Response:
    """Delete a file."""
    found = parse_openai_id(file_id)
    await files_of(services).delete(principal.user_id, found)
    return _json({"id": file_id, "object": "file", "deleted": True})


def _object(file: StoredFile) -> dict[str, Any]:
    return {
        "id": openai_id(file.id),
        "object": "file",
        "bytes": file.size,
        "created_at": int(file.created_at.timestamp()),
        "expires_at": int(file.expires_at.timestamp()) if file.expires_at else None,
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
    }


def _json(body: dict[str, Any]) -> Response:
    return Response(orjson.dumps(body), media_type="application/json")
