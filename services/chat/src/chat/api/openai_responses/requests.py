"""Turn requests of the Responses API: what a response follows, and its input."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from starlette.requests import HTTPConnection

from chat.admission.turn_request import CachePolicy, TurnRequest
from chat.api.dependencies import ApiServices
from chat.api.openai_responses.checks import check, check_calls, needed_capabilities
from chat.api.openai_responses.item_references import with_referenced_items
from chat.api.request_checks import invalid
from chat.catalogue import Model
from chat.errors import ConversationNotFound, PreviousResponseNotFound, TurnNotFound
from chat.input_items import is_answer, messages_of_items, text_of, unread_length, user_text
from chat.model import IdempotencyKey, ToolResult, Turn
from chat.protocols.openai_responses import ids
from chat.protocols.openai_responses.parameters import is_one_message, item_of, options_of, repeated
from chat.protocols.openai_responses.resource import is_hidden
from chat.protocols.openai_responses.schemas import ResponseRequest
from chat.service import ChatService, OpenedTurn
from chat.turn_store import CopiesOutdated
from parley.errors import Overloaded
from parley.field_errors import FieldError
from parley.ids import new_id
from parley.security.identity import Principal

MAX_ATTEMPTS = 5
"""Times that the items of a request are looked up while others of their conversations are deleted."""
MAX_UNREAD_BYTES = 1_048_576
"""Bytes of an input that are stored although no model reads them, as many as a request has without references."""
REASONING = "reasoning_content"
NO_RESPONSE = "The response does not exist."
TOO_MUCH_UNREAD = (
    f"The reasoning, annotations and log probabilities of the input have more than {MAX_UNREAD_BYTES:,} bytes. "
    "Leave out reasoning before the last message of the user."
)
NO_INPUT = "A message with the role `user`, or a `function_call_output`, is required."


async def find_response(service: ChatService, principal: Principal, given: str) -> Turn:
    """Return the turn of a response that its user may see; raises TurnNotFound."""
    try:
        turn = await service.get(principal.user_id, ids.parse(given, "resp"))
    except TurnNotFound:
        raise TurnNotFound(NO_RESPONSE) from None
    if is_hidden(turn):
        raise TurnNotFound(NO_RESPONSE)
    return turn


@dataclass(frozen=True, slots=True)
class ResponseSource:
    """Where a response goes on: an earlier response, a conversation, or nothing."""

    previous: Turn | None = None
    conversation_id: UUID | None = None
    copied_from: dict[UUID, int] = field(default_factory=dict)
    """Conversations of the items that the input refers to, as ``ResolvedRequest`` has them."""


async def find_source(service: ChatService, principal: Principal, body: ResponseRequest) -> ResponseSource:
    """Return what a response follows.

    Raises PreviousResponseNotFound, ConversationNotFound, and InvalidRequest while it runs.
    """
    if body.conversation_id is not None:
        found = ids.parse(body.conversation_id, "conv")
        if found is None:
            raise ConversationNotFound(errors=[FieldError("/conversation", "not_found", "It does not exist.")])
        return ResponseSource(conversation_id=found)
    if body.previous_response_id is None:
        return ResponseSource()
    try:
        previous = await find_response(service, principal, body.previous_response_id)
    except TurnNotFound:
        raise PreviousResponseNotFound from None
    if previous.running:
        raise invalid("/previous_response_id", "in_progress", "The response is still in progress. Wait for its end.")
    return ResponseSource(previous, previous.conversation_id)


async def open_response(
    connection: HTTPConnection,
    principal: Principal,
    services: ApiServices,
    body: ResponseRequest,
    *,
    key: IdempotencyKey | None,
    cache_policy: CachePolicy,
    shown: Mapping[str, Any] | None = None,
) -> OpenedTurn:
    """Open the turn of a response. ``shown``: members of the response that are not those of the request.

    Items that were deleted after the request was read are looked up again, so that no deleted text is copied.
    """

    async def read() -> TurnRequest:
        resolved, model, source = await check_request(principal, services, body)
        request = to_turn_request(connection, principal, resolved, model, source, key=key, cache_policy=cache_policy)
        return request if shown is None else replace(request, response={**(request.response or {}), **shown})

    for _ in range(MAX_ATTEMPTS):
        with contextlib.suppress(CopiesOutdated):
            return await services.service.open_once(key, read)
    raise Overloaded


async def check_request(
    principal: Principal, services: ApiServices, body: ResponseRequest
) -> tuple[ResponseRequest, Model, ResponseSource]:
    """Return the request with the items that it refers to, its model, and what it follows."""
    resolved = await with_referenced_items(services.service, principal.user_id, body)
    model = check(resolved.body, services.catalogue, services.budgets.plan(principal.plan).allows)
    source = await find_source(services.service, principal, body)
    return resolved.body, model, replace(source, copied_from=resolved.copied_from)


def to_turn_request(
    request: HTTPConnection,
    principal: Principal,
    body: ResponseRequest,
    model: Model,
    source: ResponseSource,
    *,
    key: IdempotencyKey | None,
    cache_policy: CachePolicy,
) -> TurnRequest:
    """Return the turn request of a response; raises InvalidRequest for an input without anything to answer."""
    items = [item_of(item) for item in body.items()]
    previous, stored = source.previous, body.store is not False
    unknown = source.conversation_id is not None and previous is None
    check_calls(items, None if unknown else (previous.tool_calls if previous else None) or [])
    results = _new_results(items)
    if not results and not any(item.get("role") == "user" for item in items):
        raise invalid("/input", "required", NO_INPUT)
    found = TurnRequest(
        user_id=principal.user_id,
        plan=principal.plan,
        request_id=request.scope["parley"].request_id,
        message=user_text(items),
        conversation_id=source.conversation_id if stored else None,
        parent_id=previous.id if previous is not None and stored else None,
        system_prompt=body.instructions or None,
        model=body.model,
        temperature=body.temperature,
        max_tokens=body.max_output_tokens,
        metadata=dict(body.metadata or {}),
        key=key,
        stored=stored,
        lenient=True,
        tool_results=results,
        answers_tool_results=bool(results) and not any(item.get("role") == "user" for item in items),
        options=options_of(body),
        capabilities=needed_capabilities(body),
        cache_policy=cache_policy,
        keeps_system_prompt=False,
        trims=body.truncation == "auto",
        results_at=None if any(map(is_answer, items)) else "/input",
        input_messages=messages_of_items(items, reasoning=REASONING in model.parameters),
        copied_from=source.copied_from,
        response=_response(body, items, previous),
    )
    if previous is not None and previous.conversation_id is not None and not stored:
        return replace(found, context_of=(previous.conversation_id, previous.id))
    return found


def _response(body: ResponseRequest, items: list[dict[str, Any]], previous: Turn | None) -> dict[str, Any]:
    found = repeated(body)
    if previous is not None:
        found["previous_response_id"] = ids.response_id(previous.id)
    is_kept = body.store is not False and not is_one_message(items)
    if is_kept and unread_length(items) > MAX_UNREAD_BYTES:
        raise invalid("/input", "too_long", TOO_MUCH_UNREAD)
    return {**found, "input": items} if is_kept else found


def _new_results(items: list[dict[str, Any]]) -> tuple[ToolResult, ...]:
    """Return the tool results after the last answer."""
    found: list[ToolResult] = []
    for item in reversed(items):
        if is_answer(item):
            break
        if item["type"] == "function_call_output":
            found.append(ToolResult(new_id(), item["call_id"], text_of(item["output"])))
    return tuple(reversed(found))
