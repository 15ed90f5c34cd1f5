"""``POST /v1/responses/compact``: a summary in place of an input, made by an unstored turn."""

from collections.abc import AsyncGenerator

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response

from chat import errors
from chat.api.chat import JSON, failure_of
from chat.api.dependencies import Caller, Service, Services
from chat.api.documentation import RESULT_ERRORS, TURN_PARAMETERS
from chat.api.openai_responses.documentation import COMPACTION
from chat.api.openai_responses.requests import open_response
from chat.api.request_checks import invalid, refuse_parameters
from chat.api.request_parsing import cache_policy_of, idempotency_key_of, opened_headers
from chat.api.streaming import StreamingTurnResponse, abandonment
from chat.model import Turn
from chat.protocols.openai_responses.compaction import MARK, CompactRequest, compaction, is_whole
from chat.service import ChatService
from parley.web.app import JsonRoute

router = APIRouter(prefix="/v1/responses", route_class=JsonRoute, tags=["openai"])

NOT_WHOLE = "The model did not finish the summary. Send less input, or use a model with longer answers."
INTERRUPTED = "The compaction was interrupted before its summary was complete. Send the request again."


@router.post(
    "/compact", response_class=Response, openapi_extra=TURN_PARAMETERS, responses={**COMPACTION, **RESULT_ERRORS}
)
async def compact_response(
    body: CompactRequest, request: Request, principal: Caller, service: Service, services: Services
) -> Response:
    """Return an item that takes the place of an input in later requests. The model makes a summary of it.

    The summary is metered like an answer and kept for the time of ``TURN_RETENTION``. A disconnect cancels it, unless
    the request has an ``Idempotency-Key``.
    """
    _check(body)
    key = idempotency_key_of(request, principal.user_id, body)
    opened = await open_response(
        request,
        principal,
        services,
        body.as_response_request(),
        key=key,
        cache_policy=cache_policy_of(request),
        shown=MARK,
    )
    return StreamingTurnResponse(
        _whole(service, opened.turn),
        media_type=JSON,
        headers=opened_headers(opened),
        on_disconnect=abandonment(service, opened.turn, cancel=key is None, resumable=False),
    )


def _check(body: CompactRequest) -> None:
    refuse_parameters(body.others())
    is_blank = not (body.input.strip() if isinstance(body.input, str) else body.input)
    if is_blank and body.previous_response_id is None:
        raise invalid("/input", "required", "Send `input`, `previous_response_id`, or both.")


async def _whole(service: ChatService, opened: Turn) -> AsyncGenerator[bytes, None]:
    turn = await service.ended(opened)
    if turn is None:
        raise errors.TurnPending(opened.id)
    if turn.status == "failed":
        raise failure_of(turn)
    if turn.status == "cancelled":
        raise errors.TurnCancelled(turn.id)
    if turn.finish_reason == "interrupted":
        raise errors.TurnInterrupted(INTERRUPTED, turn_id=turn.id)
    if not is_whole(turn):
        raise errors.ProviderFailure(NOT_WHOLE, turn_id=turn.id, lasting=True)
    yield orjson.dumps(compaction(turn))
