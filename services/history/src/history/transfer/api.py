"""Export and import."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import StreamingResponse

from history.conversations.schemas import ImportReport
from history.conversations.service import path_id
from history.dependencies import NOT_FOUND, Reader, Services, Writer
from history.transfer.export_service import MEDIA_TYPES, ExportService, Format, disposition
from history.transfer.import_service import ImportService
from parley.errors import InvalidRequest, UnsupportedMediaType
from parley.web.app import is_json

router = APIRouter(prefix="/api/v1", tags=["transfer"])

LINES = "application/x-ndjson"
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
IMPORT_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {}}, LINES: {"schema": {"type": "string"}}},
    }
}


@router.get("/conversations/{conversation_id}/export", response_class=StreamingResponse, responses=NOT_FOUND)
async def export_conversation(
    conversation_id: str,
    user: Reader,
    services: Services,
    format: Format = "json",  # noqa: A002 - the contract's name
) -> StreamingResponse:
    """Download a conversation: every branch as JSON, or the active one as Markdown."""
    service: ExportService = services.export
    conversation = await service.find(user.user_id, path_id(conversation_id))
    headers = {"Content-Disposition": disposition(conversation, format)}
    return StreamingResponse(service.write(conversation, format), media_type=MEDIA_TYPES[format], headers=headers)


@router.get("/export", response_class=StreamingResponse)
async def export_everything(user: Reader, services: Services) -> StreamingResponse:
    """Download every conversation of the caller, a JSON object a line."""
    service: ExportService = services.export
    headers = {"Content-Disposition": 'attachment; filename="conversations.ndjson"'}
    return StreamingResponse(service.everything(user.user_id), media_type=LINES, headers=headers)


@router.post("/conversations/import", status_code=201, openapi_extra=IMPORT_BODY)
async def import_conversations(
    request: Request,
    user: Writer,
    services: Services,
    response: Response,
    idempotency_key: Annotated[str | None, Header(description="1 to 255 visible characters.")] = None,
) -> ImportReport:
    """Import Parley's own exports or ChatGPT's, with new ids; what cannot be imported is listed."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != LINES and not is_json(media_type):
        raise UnsupportedMediaType
    if idempotency_key is not None and not _KEY.fullmatch(idempotency_key):
        raise InvalidRequest("Idempotency-Key must be 1 to 255 visible ASCII characters.")
    service: ImportService = services.imports
    body = await request.body()
    report, replayed = await service.run(user.user_id, body, lines=media_type == LINES, key=idempotency_key)
    if replayed:
        response.headers["Idempotency-Replayed"] = "true"
    only = f"/{report.imported[0].conversation_id}" if len(report.imported) == 1 else ""
    response.headers["Location"] = f"/api/v1/conversations{only}"
    return report
