"""What routes read from a request beside its body, and the headers they answer with."""

import hashlib
import re
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import Depends, Request
from starlette.requests import HTTPConnection

from chat.admission.turn_request import CachePolicy, TurnRequest
from chat.model import IdempotencyKey, Turn
from chat.protocols.parley.schemas import ChatRequest
from chat.service import ChatService, OpenedTurn
from parley.errors import InvalidCursor, InvalidRequest
from parley.security.identity import Principal, caller

_KEY = re.compile(r"^[\x21-\x7e]{1,255}$")
_CURSOR = re.compile(r"^[0-9]{1,9}$")
PING_AFTER = 10.0
"""Seconds of silence after which a stream pings; proxies close what is silent for longer."""

Caller = Annotated[Principal, Depends(caller("chat:write"))]


async def service_of(request: Request) -> ChatService:
    """Return the service that wiring made; ``async``, or it would be called in a thread."""
    service: ChatService = request.app.state.wired.service
    return service


Service = Annotated[ChatService, Depends(service_of)]


def make_key(request: Request, user_id: UUID, body: Any) -> IdempotencyKey | None:
    """Return the idempotency key of a request, None without one; raises InvalidRequest."""
    return make_key_of(request.headers.get("idempotency-key"), user_id, request.url.path, body)


def make_key_of(given: str | None, user_id: UUID, route: str, body: Any) -> IdempotencyKey | None:
    """Return the idempotency key that was given for a route, None without one; raises InvalidRequest."""
    if given is None:
        return None
    if not _KEY.match(given):
        raise InvalidRequest("Idempotency-Key must be 1 to 255 visible ASCII characters.")
    return IdempotencyKey(user_id, route, given, body_hash(body))


def body_hash(body: Any) -> bytes:
    """Return a digest that equal bodies share, however they were written."""
    return hashlib.sha256(orjson.dumps(body.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS)).digest()


def make_reuse(request: Request) -> CachePolicy:
    """Return what the ``Cache-Control`` headers of a request allow (RFC 9111, 5.2.1)."""
    return make_reuse_of(",".join(request.headers.getlist("cache-control")))


def make_reuse_of(cache_control: str | None) -> CachePolicy:
    """Return what directives allow: ``no-cache`` wants a new answer, ``no-store`` one that is used only once."""
    if not cache_control:
        return CachePolicy()
    directives = {directive.partition("=")[0].strip().lower() for directive in cache_control.split(",")}
    write = "no-store" not in directives
    return CachePolicy(read=write and "no-cache" not in directives, write=write)


def make_ask(
    request: HTTPConnection, principal: Principal, body: ChatRequest, key: IdempotencyKey | None, reuse: CachePolicy
) -> TurnRequest:
    """Return what a person asks for on Parley's wire."""
    return TurnRequest(
        user_id=principal.user_id,
        plan=principal.plan,
        token=principal.token,
        request_id=request.scope["parley"].request_id,
        message=body.message,
        regenerate=body.regenerate,
        conversation_id=body.conversation_id,
        parent_id=body.parent_id,
        system_prompt=body.system_prompt,
        model=body.model,
        temperature=body.temperature,
        max_tokens=body.max_tokens,
        metadata=body.metadata,
        key=key,
        reuse=reuse,
    )


def cursor_of(request: Request, after: str | None) -> int:
    """Return where a reader left off: ``Last-Event-ID`` wins over ``?after=``; raises InvalidCursor."""
    given = request.headers.get("last-event-id") or after
    if not given:
        return 0
    if not _CURSOR.match(given):
        raise InvalidCursor("This is no cursor of this turn.")
    return int(given)


def turn_headers(turn: Turn) -> dict[str, str]:
    """Return the headers that name a turn."""
    headers = {"X-Turn-Id": str(turn.id), "Location": f"/api/v1/chat/turns/{turn.id}"}
    if turn.conversation_id is not None:
        headers["X-Conversation-Id"] = str(turn.conversation_id)
    return headers


def opened_headers(opened: OpenedTurn) -> dict[str, str]:
    """Return the headers of a turn's answer."""
    replayed = {"Idempotency-Replayed": "true"} if opened.replayed else {}
    return {**turn_headers(opened.turn), **replayed}


def wants_async(request: Request) -> bool:
    """Say whether the client asked for 202 at once (RFC 7240)."""
    preferences = ",".join(request.headers.getlist("prefer")).split(",")
    return any(p.partition(";")[0].strip().lower() == "respond-async" for p in preferences)
