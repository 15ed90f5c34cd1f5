"""Turn requests of the Responses API: what a response follows, and its input."""

from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from fastapi import Request

from chat.admission.turn_request import TurnRequest
from chat.api.request_checks import invalid
from chat.api.request_parsing import cache_policy_of
from chat.api.response_checks import check_calls, needed_capabilities
from chat.catalogue import Model
from chat.errors import ConversationNotFound, TurnNotFound
from chat.input_items import is_answer, messages_of_items, text_of, user_text
from chat.model import IdempotencyKey, ToolResult, Turn
from chat.protocols.openai_responses import ids
from chat.protocols.openai_responses.parameters import is_one_message, item_of, options_of, repeated
from chat.protocols.openai_responses.resource import is_hidden
from chat.protocols.openai_responses.schemas import ResponseRequest
from chat.service import ChatService
from parley.field_errors import FieldError
from parley.ids import new_id
from parley.security.identity import Principal

REASONING = "reasoning_content"
NO_INPUT = "A message with the role `user`, or a `function_call_output`, is required."


async def find_response(service: ChatService, principal: Principal, given: str, parameter: str | None = None) -> Turn:
    """Return the turn of a response that its user may see; raises TurnNotFound, for a ``parameter`` with its name."""
    errors = [FieldError(f"/{parameter}", "not_found", "The response does not exist.")] if parameter else []
    try:
        turn = await service.get(principal.user_id, ids.parse(given, "resp"))
    except TurnNotFound:
        raise TurnNotFound("The response does not exist.", errors=errors) from None
    if is_hidden(turn):
        raise TurnNotFound("The response does not exist.", errors=errors)
    return turn


@dataclass(frozen=True, slots=True)
class ResponseSource:
    """Where a response goes on: an earlier response, a conversation, or nothing."""

    previous: Turn | None = None
    conversation_id: UUID | None = None


async def find_source(service: ChatService, principal: Principal, body: ResponseRequest) -> ResponseSource:
    """Return what a response follows; raises TurnNotFound, ConversationNotFound, and InvalidRequest while it runs."""
    if body.conversation_id is not None:
        found = ids.parse(body.conversation_id, "conv")
        if found is None:
            raise ConversationNotFound(errors=[FieldError("/conversation", "not_found", "It does not exist.")])
        return ResponseSource(conversation_id=found)
    if body.previous_response_id is None:
        return ResponseSource()
    previous = await find_response(service, principal, body.previous_response_id, "previous_response_id")
    if previous.running:
        raise invalid("/previous_response_id", "in_progress", "The response is still in progress. Wait for its end.")
    return ResponseSource(previous, previous.conversation_id)


def to_turn_request(
    request: Request,
    principal: Principal,
    body: ResponseRequest,
    model: Model,
    source: ResponseSource,
    key: IdempotencyKey | None,
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
        cache_policy=cache_policy_of(request),
        keeps_system_prompt=False,
        trims=body.truncation == "auto",
        results_at=None if any(map(is_answer, items)) else "/input",
        input_messages=messages_of_items(items, reasoning=REASONING in model.parameters),
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
