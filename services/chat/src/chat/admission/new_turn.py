"""Construction of a turn before and right after its admission."""

from datetime import timedelta
from uuid import UUID

from chat.admission.context_window import PromptContext
from chat.admission.position import TurnPosition
from chat.admission.turn_request import TurnRequest
from chat.catalogue import Model
from chat.model import NewTurn, Reservation, Turn
from chat.turn_store import AdmissionResult
from parley import times
from parley.ids import new_id

_SHARED_FIELDS = [
    "id",
    "user_id",
    "conversation_id",
    "parent_id",
    "regenerate",
    "user_message_id",
    "user_message",
    "user_message_at",
    "system_prompt",
    "model",
    "metadata",
    "request_id",
    "context",
    "omitted_turns",
    "prompt_tokens",
    "deadline_at",
    "created_at",
    "tool_results",
    "continues",
    "response",
]


def new_turn(
    turn_id: UUID,
    request: TurnRequest,
    model: Model,
    position: TurnPosition,
    context: PromptContext,
    reservation: Reservation,
    timeout: timedelta,
    copied_from: dict[UUID, int],
) -> NewTurn:
    """Return the turn to admit, whose deadline is ``timeout`` from now."""
    now, conversation, others = times.now(), position.conversation_id, dict(copied_from)
    deletions = position.item_deletions
    if conversation is not None:  # a copy may have been read before the position
        deletions = others.pop(conversation, deletions)
    return NewTurn(
        id=turn_id,
        user_id=request.user_id,
        conversation_id=conversation,
        parent_id=position.parent_id,
        regenerate=request.regenerate,
        user_message_id=position.user_message_id or new_id(),
        user_message=position.message,
        user_message_at=position.message_at or now,
        system_prompt=position.system_prompt or None,
        model=model.alias,
        metadata=request.metadata,
        request_id=request.request_id,
        context=context.state,
        omitted_turns=context.omitted_turns,
        prompt_tokens=context.prompt_tokens,
        deadline_at=now + timeout,
        created_at=now,
        first_number=position.first_number,
        adopted=position.adopted,
        head=position.head,
        follows_latest=position.follows_latest,
        item_deletions=deletions,
        copied_from=others,
        kept_system_prompt=request.system_prompt if request.keeps_system_prompt else None,
        reservation=reservation,
        tool_results=position.tool_results,
        continues=position.continues,
        response=request.response or position.response,
    )


def admitted_turn(new: NewTurn, result: AdmissionResult, runner_id: UUID) -> Turn:
    """Return an admitted turn as its row is stored."""
    return Turn(
        **{name: getattr(new, name) for name in _SHARED_FIELDS},
        number=result.number or 1,
        provider=None,
        provider_model=None,
        status="running",
        finish_reason=None,
        epoch=1,
        runner_id=runner_id,
        entries=(),
        content=None,
        tool_calls=None,
        usage=None,
        cost=None,
        price_version=None,
        error=None,
        time_to_first_token_ms=None,
        log_lost=False,
        cached=False,
        started_at=new.created_at,
        finished_at=None,
    )
