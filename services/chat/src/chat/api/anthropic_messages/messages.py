"""``/v1/messages``, Anthropic's Messages API."""

from collections.abc import AsyncGenerator

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response

from chat import errors
from chat.admission.turn_request import TurnRequest
from chat.api.anthropic_messages.checks import check, needed_capabilities
from chat.api.anthropic_messages.documentation import MESSAGE, TOKEN_COUNT
from chat.api.anthropic_messages.stream import stream_of
from chat.api.chat import JSON, failure_of
from chat.api.dependencies import Caller, Service, Services
from chat.api.documentation import COMPLETION_ERRORS, TURN_PARAMETERS
from chat.api.openai_responses.requests import REASONING
from chat.api.request_parsing import cache_policy_of, idempotency_key_of, opened_headers
from chat.api.streaming import StreamingTurnResponse, abandonment
from chat.catalogue import Model
from chat.model import IdempotencyKey, ToolResult, Turn
from chat.protocols.anthropic_messages.message import message
from chat.protocols.anthropic_messages.prompt import Message, messages_of, options_of, user_text
from chat.protocols.anthropic_messages.schemas import MessageRequest, PromptRequest
from chat.protocols.openai_chat.projection import failed
from chat.service import ChatService
from chat.token_estimate import estimate_messages, estimate_options
from parley.errors import InvalidJson, InvalidRequest, UnsupportedMediaType, ValidationFailed
from parley.ids import new_id
from parley.security.identity import Principal
from parley.web.app import JsonRoute
from parley.web.openapi import problems

router = APIRouter(prefix="/v1/messages", route_class=JsonRoute, tags=["anthropic"])

NOT_COUNTED = problems(
    errors.UnsupportedContent,
    errors.ModelNotFound,
    errors.ProviderUnavailable,
    InvalidJson,
    InvalidRequest,
    UnsupportedMediaType,
    ValidationFailed,
)


@router.post("", response_class=Response, openapi_extra=TURN_PARAMETERS, responses={**MESSAGE, **COMPLETION_ERRORS})
async def create_message(
    body: MessageRequest, request: Request, principal: Caller, service: Service, services: Services
) -> Response:
    """Return a message, or its events with ``stream``.

    A disconnect cancels the turn, unless the request has an ``Idempotency-Key``. ``Cache-Control`` as for
    ``POST /api/v1/chat``.
    """
    key = idempotency_key_of(request, principal.user_id, body)

    async def read() -> TurnRequest:
        model = check(body, services.catalogue, services.budgets.plan(principal.plan).allows)
        return _turn_request(body, request, principal, model, key)

    opened = await service.open_once(key, read)
    turn, headers = opened.turn, opened_headers(opened)
    if body.stream:
        streamed = stream_of(service, turn, request, holds=True, cancel=key is None)
        streamed.headers.update(headers)
        return streamed
    return StreamingTurnResponse(
        _whole(service, turn),
        media_type=JSON,
        headers=headers,
        on_disconnect=abandonment(service, turn, cancel=key is None, resumable=False),
    )


@router.post("/count_tokens", response_class=Response, responses={**TOKEN_COUNT, **NOT_COUNTED})
async def count_tokens(body: PromptRequest, principal: Caller, service: Service, services: Services) -> Response:
    """Estimate the input tokens of a message, as admission does. Nothing is sent to the model."""
    model = check(body, services.catalogue, services.budgets.plan(principal.plan).allows)
    messages = await service.with_files(principal.user_id, _messages(body, model), model)
    if model.system_prompt and not body.system_text:
        messages.insert(0, {"role": "system", "content": model.system_prompt})
    found = estimate_messages(messages) + estimate_options(options_of(body))
    return Response(orjson.dumps({"input_tokens": found}), media_type=JSON)


def _messages(body: PromptRequest, model: Model) -> list[Message]:
    return messages_of(body, reasoning=REASONING in model.parameters)


def _turn_request(
    body: MessageRequest, request: Request, principal: Principal, model: Model, key: IdempotencyKey | None
) -> TurnRequest:
    messages = _messages(body, model)
    user_id = body.metadata.user_id if body.metadata is not None else None
    return TurnRequest(
        user_id=principal.user_id,
        plan=principal.plan,
        request_id=request.scope["parley"].request_id,
        message=user_text(messages),
        system_prompt=body.system_text or None,
        model=body.model,
        temperature=body.temperature,
        max_tokens=body.max_tokens,
        metadata={"user_id": user_id} if user_id else {},
        key=key,
        stored=False,
        lenient=True,
        messages=messages,
        options=options_of(body),
        tool_results=_tool_results(messages),
        answers_tool_results=messages[-1]["role"] == "tool",
        capabilities=needed_capabilities(body),
        cache_policy=cache_policy_of(request),
    )


def _tool_results(messages: list[Message]) -> tuple[ToolResult, ...]:
    """Return the tool results after the last answer. Earlier ones came with earlier turns."""
    last = max((n for n, each in enumerate(messages) if each["role"] == "assistant"), default=-1)
    found = [each for each in messages[last + 1 :] if each["role"] == "tool"]
    return tuple(ToolResult(new_id(), each["tool_call_id"], each["content"]) for each in found)


async def _whole(service: ChatService, opened: Turn) -> AsyncGenerator[bytes, None]:
    turn = await service.ended(opened)
    if turn is None:
        raise errors.TurnPending(opened.id)
    if failed(turn):
        raise failure_of(turn)
    yield orjson.dumps(message(turn))
