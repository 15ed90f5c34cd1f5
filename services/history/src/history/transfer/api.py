"""Export and import routes."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

from history.dependencies import NOT_FOUND_RESPONSES, Reader, Writer, parse_conversation_id
from history.transfer.content_disposition import content_disposition
from history.transfer.export_service import FILE_SUFFIXES, MEDIA_TYPES, ExportFormat, ExportService
from history.transfer.import_service import ImportFile, ImportService
from history.transfer.schemas import ImportReport
from parley.config.plans import QuotaExceeded
from parley.errors import InvalidJson, InvalidRequest, UnsupportedMediaType
from parley.web.app import is_json
from parley.web.idempotency_keys import IdempotencyKeyReused, check_idempotency_key
from parley.web.openapi import REPLAYED, IdempotencyKey, ResponseDocs, header, location, problems

router = APIRouter(prefix="/api/v1", tags=["transfer"])

NDJSON = "application/x-ndjson"
_EXPORTED = {
    "format": "parley.conversation/1",
    "exported_at": "2026-11-22T10:00:00.123Z",
    "conversation": {"id": "01a200aa-0000-7000-8000-000000000000", "title": "Greeting Ada"},
    "messages": [],
}
IMPORT_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {}, "example": _EXPORTED},
            NDJSON: {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
_FILE_NAME = {"Content-Disposition": header("Name of the file.", 'attachment; filename="Greeting Ada.json"')}
EXPORTED: ResponseDocs = {
    200: {
        "description": "The file.",
        "headers": _FILE_NAME,
        "content": {
            "application/json": {"schema": {"type": "object"}, "example": _EXPORTED},
            "text/markdown": {"schema": {"type": "string"}, "example": "# Greeting Ada\n"},
        },
    }
}
EXPORTED_LINES: ResponseDocs = {
    200: {
        "description": "The file: a line of JSON for each conversation.",
        "headers": _FILE_NAME,
        "content": {NDJSON: {"schema": {"type": "string"}, "example": json.dumps(_EXPORTED) + "\n"}},
    }
}
IMPORTED: ResponseDocs = {
    201: {"headers": {**location("The conversations.", "/api/v1/conversations"), **REPLAYED}},
    **problems(InvalidRequest, InvalidJson, UnsupportedMediaType, IdempotencyKeyReused, QuotaExceeded),
}


async def export_service(request: Request) -> ExportService:
    """Return the service that ``wire`` opened."""
    service: ExportService = request.app.state.wired.exports
    return service


async def import_service(request: Request) -> ImportService:
    """Return the service that ``wire`` opened."""
    service: ImportService = request.app.state.wired.imports
    return service


Exports = Annotated[ExportService, Depends(export_service)]
Imports = Annotated[ImportService, Depends(import_service)]


@router.get(
    "/conversations/{conversation_id}/export",
    response_class=StreamingResponse,
    responses={**EXPORTED, **NOT_FOUND_RESPONSES},
)
async def export_conversation(
    conversation_id: str,
    user: Reader,
    exports: Exports,
    format: ExportFormat = "json",  # noqa: A002 - the parameter's name in the API
) -> StreamingResponse:
    """Download a conversation: every branch as JSON, or the active branch as Markdown."""
    conversation = await exports.find(user.user_id, parse_conversation_id(conversation_id))
    headers = {"Content-Disposition": content_disposition(conversation, FILE_SUFFIXES[format])}
    return StreamingResponse(
        exports.write(user.user_id, conversation, format), media_type=MEDIA_TYPES[format], headers=headers
    )


@router.get("/export", response_class=StreamingResponse, responses=EXPORTED_LINES)
async def export_everything(user: Reader, exports: Exports) -> StreamingResponse:
    """Download all your conversations, one JSON object per line."""
    headers = {"Content-Disposition": 'attachment; filename="conversations.ndjson"'}
    return StreamingResponse(exports.everything(user.user_id), media_type=NDJSON, headers=headers)


@router.post("/conversations/import", status_code=201, openapi_extra=IMPORT_BODY, responses=IMPORTED)
async def import_conversations(
    request: Request,
    user: Writer,
    imports: Imports,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> ImportReport:
    """Import a Parley, ChatGPT or Claude export under new ids. The response lists every part that was skipped.

    A broken conversation, line, message or character is skipped alone. A file in none of the formats is refused.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != NDJSON and not is_json(media_type):
        raise UnsupportedMediaType
    check_idempotency_key(idempotency_key)
    file = ImportFile(request.stream(), media_type == NDJSON, request.is_disconnected)
    try:
        report, replayed = await imports.run(user.user_id, user.plan, file, idempotency_key)
    except ClientDisconnect:
        raise InvalidRequest("The client closed the connection before the file was complete.") from None
    if replayed:
        response.headers["Idempotency-Replayed"] = "true"
    only = f"/{report.imported[0].conversation_id}" if len(report.imported) == 1 else ""
    response.headers["Location"] = f"/api/v1/conversations{only}"
    return report
