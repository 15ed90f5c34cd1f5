"""Request headers and query parameters of the turn routes, and their response headers."""

import hashlib
import re
from typing import Any
from uuid import UUID

import orjson
from fastapi import Request
from starlette.requests import HTTPConnection

from chat.admission.turn_request import CachePolicy, TurnRequest
from chat.api.request_checks import capabilities
from chat.input_items import message_with_files, messages_of_items
from chat.model import IdempotencyKey, ToolResult, Turn
from chat.protocols.parley.schemas import ChatRequest
from chat.service import OpenedTurn
from parley.errors import InvalidCursor
from parley.ids import new_id
from parley.security.identity import Principal
from parley.web.idempotency_keys import check_idempotency_key

_CURSOR = re.compile(r"[0-9]{1,9}\Z")


def idempotency_key_of(request: Request, user_id: UUID, body: Any) -> IdempotencyKey | None:
    """Return the idempotency key of a request, or None; raises InvalidRequest if it is malformed."""
    return parse_idempotency_key(request.headers.get("idempotency-key"), user_id, request.scope["path"], body)


def parse_idempotency_key(given: str | None, user_id: UUID, route: str, body: Any) -> IdempotencyKey | None:
    """Return the idempotency key for a route, or None; raises InvalidRequest if it is malformed."""
    check_idempotency_key(given)
    return None if given is None else IdempotencyKey(user_id, route, given, body_hash(body))


def body_hash(body: Any) -> bytes:
    """Return the digest of a body, independent of its formatting and member order."""
    return hashlib.sha256(orjson.dumps(body.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS)).digest()


def cache_policy_of(request: Request) -> CachePolicy:
    """Return the cache policy of a request's ``Cache-Control`` headers (RFC 9111, 5.2.1)."""
    return parse_cache_policy(",".join(request.headers.getlist("cache-control")))


def parse_cache_policy(cache_control: str | None) -> CachePolicy:
    """Return the cache policy of ``Cache-Control`` directives (see ``POST /chat``)."""
    if not cache_control:
        return CachePolicy()
    directives = {directive.partition("=")[0].strip().lower() for directive in cache_control.split(",")}
    write = "no-store" not in directives
    return CachePolicy(read=write and "no-cache" not in directives, write=write)


def to_turn_request(
    request: HTTPConnection, principal: Principal, body: ChatRequest, key: IdempotencyKey | None, policy: CachePolicy
) -> TurnRequest:
    """Return the turn request of a body in Parley's format."""
    items = [message_with_files(body.message or "", body.files)] if body.files else None
    return TurnRequest(
        user_id=principal.user_id,
        plan=principal.plan,
        request_id=request.scope["parley"].request_id,
        message=body.message,
        regenerate=body.regenerate,
        conversation_id=body.conversation_id,
        create=body.create,
        parent_id=body.parent_id,
        system_prompt=body.system_prompt,
        model=body.model,
        temperature=body.temperature,
        max_tokens=body.max_tokens,
        metadata=body.metadata,
        key=key,
        tool_results=tuple(ToolResult(new_id(), one.tool_call_id, one.content) for one in body.tool_results or ()),
        answers_tool_results=body.tool_results is not None,
        results_at="/tool_results",
        options=body.options(),
        capabilities=capabilities(images=False, calls=body.requires_call),
        cache_policy=policy,
        input_messages=messages_of_items(items) if items else None,
        response={"input": items} if items else None,
    )


def cursor_of(request: Request, after: str | None) -> int:
    """Return the resume cursor; ``Last-Event-ID`` takes precedence over ``?after=``; raises InvalidCursor."""
    return parse_cursor(request.headers.get("last-event-id") or after)


def parse_cursor(given: str | None) -> int:
    """Return a resume cursor; 0 if there is none; raises InvalidCursor."""
    if not given:
        return 0
    if not _CURSOR.match(given):
        raise InvalidCursor(
            "The cursor does not belong to this turn. Send the last event ID that you received, or omit it."
        )
    return int(given)


def turn_headers(turn: Turn) -> dict[str, str]:
    """Return the response headers that identify a turn."""
    headers = {"X-Turn-Id": str(turn.id), "Location": f"/api/v1/chat/turns/{turn.id}"}
    if turn.conversation_id is not None:
        headers["X-Conversation-Id"] = str(turn.conversation_id)
    return headers


def opened_headers(opened: OpenedTurn) -> dict[str, str]:
    """Return the response headers of a new turn."""
    replayed = {"Idempotency-Replayed": "true"} if opened.replayed else {}
    quota = opened.token_quota.headers() if opened.token_quota else {}
    return {**turn_headers(opened.turn), **replayed, **quota}


def prefers_async(request: Request) -> bool:
    """Return whether the request has ``Prefer: respond-async`` (RFC 7240)."""
    preferences = ",".join(request.headers.getlist("prefer")).split(",")
    return any(p.partition(";")[0].strip().lower() == "respond-async" for p in preferences)
