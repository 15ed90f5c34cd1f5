"""A turn before its admission, and as its row is right after it."""

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

_SHARED = [
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
]


def new_turn(
    ask: TurnRequest,
    model: Model,
    place: TurnPosition,
    context: PromptContext,
    reservation: Reservation,
    timeout: timedelta,
) -> NewTurn:
    """Return what is to be admitted; the turn may take ``timeout``."""
    now = times.now()
    return NewTurn(
        id=new_id(),
        user_id=ask.user_id,
        conversation_id=place.conversation_id,
        parent_id=place.parent_id,
        regenerate=ask.regenerate,
        user_message_id=place.user_message_id or new_id(),
        user_message=place.message,
        user_message_at=place.message_at or now,
        system_prompt=place.system_prompt,
        model=model.alias,
        metadata=ask.metadata,
        request_id=ask.request_id,
        context=context.state,
        omitted_turns=context.omitted_turns,
        prompt_tokens=context.prompt_tokens,
        deadline_at=now + timeout,
        created_at=now,
        first_number=place.first_number,
        adopted=place.adopted,
        head=place.head,
        follows_latest=place.follows_latest,
        keep_system_prompt=ask.system_prompt is not None,
        reservation=reservation,
    )


def running(new: NewTurn, admission: AdmissionResult, runner_id: UUID) -> Turn:
    """Return an admitted turn as its row now is."""
    return Turn(
        **{name: getattr(new, name) for name in _SHARED},
        number=admission.number or 1,
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
