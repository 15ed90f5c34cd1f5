"""``POST /v1/chat/completions``, OpenAI's chat completions API."""

import itertools
from collections.abc import AsyncGenerator
from uuid import UUID

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response

from chat import errors
from chat.admission.turn_request import TurnRequest
from chat.api.chat import JSON, failure_of
from chat.api.completion_checks import check, is_stored, needed_capabilities
from chat.api.completion_stream import completion_events
from chat.api.dependencies import Caller, Service, Services
from chat.api.documentation import COMPLETION, COMPLETION_ERRORS, TURN_PARAMETERS
from chat.api.request_parsing import cache_policy_of, idempotency_key_of, opened_headers
from chat.api.resumption import completion_resumption_headers, resumes
from chat.api.streaming import StreamingTurnResponse, abandonment
from chat.catalogue import Model
from chat.model import IdempotencyKey, ToolResult, Turn
from chat.protocols.openai_chat import projection
from chat.protocols.openai_chat.schemas import CompletionRequest
from chat.protocols.parley.schemas import CLIENT_ID_VERSIONS, INVALID_CLIENT_ID
from chat.running.turn_updates import DirectDeltas
from chat.service import ChatService
from parley.errors import ValidationFailed
from parley.field_errors import FieldError
from parley.ids import new_id, parse_id
from parley.process.sockets import PEER_TIMEOUT
from parley.security.identity import Principal
from parley.web.app import JsonRoute

router = APIRouter(prefix="/v1/chat", route_class=JsonRoute, tags=["openai"])

TOOL_ROLES = frozenset({"tool", "function"})


@router.post(
    "/completions",
    response_class=Response,
    openapi_extra=TURN_PARAMETERS,
    responses={**COMPLETION, **COMPLETION_ERRORS},
)
async def create_completion(
    body: CompletionRequest, request: Request, principal: Caller, service: Service, services: Services
) -> Response:
    """Return a completion. A disconnect cancels the turn, unless the request has an ``Idempotency-Key``.

    ``Cache-Control`` as for ``POST /api/v1/chat``.
    """
    key = idempotency_key_of(request, principal.user_id, body)

    async def read() -> TurnRequest:
        model = check(body, services.catalogue, services.budgets.plan(principal.plan).allows)
        return _turn_request(body, request, principal, model, key)

    opened = await service.open_once(key, read)
    resumable = bool(body.stream) and resumes(request)
    on_disconnect = abandonment(service, opened.turn, cancel=key is None, resumable=resumable)
    if not body.stream:
        return StreamingTurnResponse(
            _whole(service, opened.turn),
            media_type=JSON,
            headers=opened_headers(opened),
            on_disconnect=on_disconnect,
        )
    include_usage = bool(body.stream_options and body.stream_options.include_usage)
    direct = DirectDeltas()
    updates = service.follow(opened.turn, 1, idle_after=PEER_TIMEOUT.ping_interval, direct=direct)
    resumption = completion_resumption_headers(request, opened.turn, include_usage=include_usage, cancel=key is None)
    return StreamingTurnResponse(
        completion_events(opened.turn, updates, include_usage=include_usage, moves=resumes(request), direct=direct),
        direct=direct,
        headers=opened_headers(opened) | resumption,
        on_disconnect=on_disconnect,
    )


def _turn_request(
    body: CompletionRequest, request: Request, principal: Principal, model: Model, key: IdempotencyKey | None
) -> TurnRequest:
    metadata = dict(body.metadata or {})
    conversation_id, create = _conversation(metadata)
    system = [m.text() for m in body.messages if m.role in {"system", "developer"}]
    user_message = next((m.text() for m in reversed(body.messages) if m.role == "user"), "")
    return TurnRequest(
        user_id=principal.user_id,
        plan=principal.plan,
        request_id=request.scope["parley"].request_id,
        message=user_message,
        conversation_id=conversation_id,
        create=create,
        system_prompt="\n".join(system) or None,
        model=body.model,
        temperature=body.temperature,
        max_tokens=body.output_limit,
        metadata=metadata,
        key=key,
        stored=is_stored(body),
        lenient=True,
        messages=[message.for_provider(model.parameters) for message in body.messages],
        options=body.options(),
        tool_results=_tool_results(body),
        answers_tool_results=body.messages[-1].role in TOOL_ROLES,
        capabilities=needed_capabilities(body),
        cache_policy=cache_policy_of(request),
    )


def _conversation(metadata: dict[str, str]) -> tuple[UUID | None, bool]:
    """Take ``conversation_id`` and ``create`` out of the metadata. Alone, ``create`` is the client's own entry."""
    given = metadata.pop("conversation_id", None)
    if given is None:
        return None, False
    create = metadata.pop("create", "false")
    if create not in {"true", "false"}:
        raise ValidationFailed([FieldError("/metadata/create", "invalid", "Must be true or false.")])
    found = parse_id(given)
    if found is not None and found.version in CLIENT_ID_VERSIONS:
        return found, create == "true"
    raise ValidationFailed([FieldError("/metadata/conversation_id", "invalid_format", INVALID_CLIENT_ID)])


def _tool_results(body: CompletionRequest) -> tuple[ToolResult, ...]:
    """Return the tool results after the last answer. Earlier ones came with earlier turns."""
    latest = itertools.takewhile(lambda message: message.role != "assistant", reversed(body.messages))
    found = [message for message in latest if message.role in TOOL_ROLES]
    return tuple(ToolResult(new_id(), message.tool_call_id, message.text()) for message in reversed(found))


async def _whole(service: ChatService, opened: Turn) -> AsyncGenerator[bytes, None]:
    turn = await service.ended(opened)
    if turn is None:
        raise errors.TurnPending(opened.id)
    if projection.failed(turn):
        raise failure_of(turn)
    yield orjson.dumps(projection.completion(turn))
