"""Published events of a turn."""

import dataclasses
from uuid import UUID

from chat.admission.item_deletion import deleted_messages, revision
from chat.model import EMPTY_USAGE, NewTurn, Outcome, Turn
from parley_events.models import TurnEnded, TurnRedacted, TurnStarted
from parley_events.parts import AssistantMessage, ErrorInfo, ToolResult, UserMessage

PENDING_NUMBER = 0
"""Number in ``turn.started`` until the admission statement replaces it."""


def started_event(turn: NewTurn, conversation_id: UUID) -> TurnStarted:
    """Return the ``turn.started`` event of a turn."""
    return TurnStarted(
        turn_id=turn.id,
        conversation_id=conversation_id,
        user_id=turn.user_id,
        number=PENDING_NUMBER,
        stored=True,
        parent_id=turn.parent_id,
        regenerate=turn.regenerate,
        user_message=UserMessage(id=turn.user_message_id, content=turn.user_message, created_at=turn.user_message_at),
        tool_results=_tool_results(turn),
        continues=turn.continues,
        message_id=turn.id,
        model=turn.model,
        system_prompt=turn.system_prompt,
        metadata=turn.metadata,
        request_id=turn.request_id,
        started_at=turn.created_at,
    )


def ended_event(turn: Turn, outcome: Outcome) -> TurnEnded:
    """Return the terminal event of a turn. Without a conversation, it has usage and cost but no content."""
    user_message = UserMessage(id=turn.user_message_id, content=turn.user_message, created_at=turn.user_message_at)
    answer = AssistantMessage(
        id=turn.id, content=outcome.content, tool_calls=outcome.tool_calls, created_at=outcome.finished_at
    )
    return TurnEnded(
        turn_id=turn.id,
        conversation_id=turn.conversation_id,
        user_id=turn.user_id,
        number=turn.number,
        stored=turn.stored,
        parent_id=turn.parent_id,
        regenerate=turn.regenerate,
        user_message=user_message if turn.stored else None,
        tool_results=_tool_results(turn) if turn.stored else [],
        continues=turn.continues,
        message=answer if turn.stored else None,
        model=turn.model,
        provider=outcome.provider,
        provider_model=outcome.provider_model,
        system_prompt=turn.system_prompt if turn.stored else None,
        metadata=turn.metadata,
        status=outcome.status,
        finish_reason=outcome.finish_reason,
        usage=outcome.usage,
        cost=outcome.cost,
        currency="USD",
        price_version=outcome.price_version,
        cached=outcome.cached,
        error=ErrorInfo(code=outcome.error.code, message=outcome.error.message) if outcome.error else None,
        request_id=turn.request_id,
        started_at=turn.started_at,
        finished_at=outcome.finished_at,
        time_to_first_token_ms=outcome.time_to_first_token_ms,
    )


def stored_event(turn: Turn) -> TurnEnded:
    """Return the terminal event of an ended turn as its row is now. An inserted turn has only what was inserted."""
    columns = {field.name: getattr(turn, field.name) for field in dataclasses.fields(Outcome)}
    columns |= {"usage": turn.usage or EMPTY_USAGE, "content": turn.content or ""}
    event, changed = ended_event(turn, Outcome(**columns)), {"usage": turn.usage}
    if turn.inserted and not turn.user_message and turn.user_message_id not in deleted_messages(turn):
        changed["user_message"] = None
    if turn.inserted and not turn.content and not turn.tool_calls:
        changed["message"] = None
    return event.model_copy(update=changed)


def redacted_event(turn: Turn) -> TurnRedacted:
    """Return the event of a turn of which items were deleted."""
    redaction = {"revision": revision(turn), "deleted_message_ids": sorted(deleted_messages(turn))}
    return TurnRedacted(**dict(stored_event(turn)), **redaction)


def _tool_results(turn: NewTurn | Turn) -> list[ToolResult]:
    return [
        ToolResult(id=one.id, tool_call_id=one.tool_call_id, content=one.content, created_at=turn.created_at)
        for one in turn.tool_results
    ]
