"""``POST /v1/chat/completions``, OpenAI's chat completions API."""

import contextlib
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response

from chat import errors
from chat.admission.turn_request import TurnRequest
from chat.api.chat import JSON, failure_of
from chat.api.request_parsing import PING_AFTER, Caller, Service, cache_policy_of, idempotency_key_of, opened_headers
from chat.api.streaming import EVENT_STREAM, StreamingTurnResponse
from chat.catalogue import Catalogue
from chat.model import IdempotencyKey, Turn
from chat.protocols.openai_chat import projection
from chat.protocols.openai_chat.projection import CompletionChunks
from chat.protocols.openai_chat.schemas import CompletionRequest
from chat.running.turn_updates import StreamIdle, StreamInterrupted, TurnDelta, TurnFinished, TurnUpdate
from chat.service import OpenedTurn
from parley.errors import FieldError, InvalidRequest, ValidationFailed
from parley.security.identity import Principal
from parley.web.app import JsonRoute

router = APIRouter(prefix="/v1/chat", route_class=JsonRoute, tags=["openai"])

PING = b": ping\n"
"""No blank line follows: OpenAI's Python client parses a separate comment block as an event."""
CLIENT_ID_VERSIONS = frozenset({4, 7})


@router.post("/completions", response_class=Response, responses={400: {}, 404: {}, 429: {}, 502: {}, 503: {}})
async def create_completion(body: CompletionRequest, request: Request, principal: Caller, service: Service) -> Response:
    """Return a completion. A disconnect cancels the turn, unless the request has an ``Idempotency-Key``.

    ``Cache-Control`` as for ``POST /api/v1/chat``.
    """
    _check(body, request.app.state.wired.catalogue)
    key = idempotency_key_of(request, principal.user_id, body)
    opened = await service.open(_ask(body, request, principal, key))
    steps = service.follow(opened.turn, 1, idle_after=PING_AFTER)

    async def leave() -> None:
        if key is None:
            await service.abandon(opened.turn)

    if not body.stream:
        return StreamingTurnResponse(
            _whole(opened.turn, steps), media_type=JSON, headers=_headers(opened), on_leave=leave
        )
    include_usage = bool(body.stream_options and body.stream_options.include_usage)
    chunks = _chunks(opened.turn, steps, include_usage=include_usage)
    return StreamingTurnResponse(chunks, media_type=EVENT_STREAM, headers=_headers(opened), on_leave=leave)


def _headers(opened: OpenedTurn) -> dict[str, str]:
    return opened_headers(opened)


def _check(body: CompletionRequest, catalogue: Catalogue) -> None:
    if body.n is not None and body.n > 1:
        raise InvalidRequest("Only one choice is supported. Send n = 1, or omit n.")
    if not any(message.role == "user" for message in body.messages):
        raise ValidationFailed(
            [FieldError("/messages", "required", "At least one message with role `user` is required.")]
        )
    texts_only = all(message.text_only for message in body.messages)
    if not texts_only and "vision" not in catalogue.find(body.model).capabilities:
        raise errors.UnsupportedContent


def _ask(body: CompletionRequest, request: Request, principal: Principal, key: IdempotencyKey | None) -> TurnRequest:
    metadata = dict(body.metadata or {})
    conversation_id = _conversation_id(metadata)
    system = [m.text() for m in body.messages if m.role in {"system", "developer"}]
    question = next(m for m in reversed(body.messages) if m.role == "user")
    return TurnRequest(
        user_id=principal.user_id,
        plan=principal.plan,
        token=principal.token,
        request_id=request.scope["parley"].request_id,
        message=question.text(),
        conversation_id=conversation_id,
        system_prompt="\n".join(system) or None,
        model=body.model,
        temperature=body.temperature,
        max_tokens=body.output_limit,
        metadata=metadata,
        key=key,
        stored=bool(body.store) or conversation_id is not None,
        lenient=True,
        messages=[_message(message) for message in body.messages],
        options=body.options(),
        cache_policy=cache_policy_of(request),
    )


def _conversation_id(metadata: dict[str, str]) -> UUID | None:
    given = metadata.pop("conversation_id", None)
    if given is None:
        return None
    with contextlib.suppress(ValueError):
        found = UUID(given)
        if found.version in CLIENT_ID_VERSIONS:
            return found
    raise ValidationFailed(
        [FieldError("/metadata/conversation_id", "invalid_format", "Must be a UUID, version 4 or 7.")]
    )


def _message(message: Any) -> dict[str, Any]:
    """Return the message for the provider, with its text parts joined."""
    content = message.text() if message.text_only and message.content is not None else message.content
    if isinstance(content, list):
        content = [part.model_dump(exclude_none=True) for part in content]
    rest = message.model_dump(include={"name", "tool_calls", "tool_call_id"}, exclude_none=True)
    return {"role": message.role, "content": content, **rest}


async def _whole(turn: Turn, steps: AsyncGenerator[TurnUpdate, None]) -> AsyncGenerator[bytes, None]:
    async with contextlib.aclosing(steps):
        async for step in steps:
            if isinstance(step, TurnFinished):
                if projection.failed(step.turn):
                    raise failure_of(step.turn)
                yield orjson.dumps(projection.completion(step.turn))
                return
            if isinstance(step, StreamInterrupted):
                raise errors.TurnPending(turn.id)


async def _chunks(
    turn: Turn, steps: AsyncGenerator[TurnUpdate, None], *, include_usage: bool
) -> AsyncGenerator[bytes, None]:
    chunks = CompletionChunks(turn, include_usage=include_usage)
    began = False
    async with contextlib.aclosing(steps):
        async for step in steps:
            if isinstance(step, StreamIdle):
                if began:
                    yield PING
                continue
            prefix = b"" if began else _data(chunks.started())
            if isinstance(step, TurnFinished) and not began and projection.failed(step.turn):
                raise failure_of(step.turn)
            if isinstance(step, StreamInterrupted) and not began:
                raise errors.TurnPending(turn.id)
            began = True
            yield prefix + _frames(chunks, turn, step)


def _frames(chunks: CompletionChunks, turn: Turn, step: TurnUpdate) -> bytes:
    if isinstance(step, TurnDelta):
        return b"".join(_data(chunks.delta(entry)) for entry in step.entries)
    if isinstance(step, TurnFinished):
        return b"".join(_data(data) for data in chunks.finished(step.turn))
    pending = isinstance(step, StreamInterrupted) and step.code == "finish_pending"
    return _data(orjson.dumps(projection.pending(turn) if pending else projection.error(turn)))


def _data(data: bytes) -> bytes:
    return b"data: %b\n\n" % data
