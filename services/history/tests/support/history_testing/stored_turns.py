"""Conversations and messages as they are stored after the end of a turn."""

from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from history.conversations.schemas import Conversation
from history.messages.schemas import Message
from history_testing.turn_events import SampleTurn
from parley.times import now
from parley_events.parts import Usage

TURN_DURATION = timedelta(seconds=2)


def new_conversation(turn: SampleTurn) -> Conversation:
    """Return the conversation of a turn that has ended, without messages."""
    members = {
        "title": turn.question,
        "model": turn.model,
        "version": 0,
        "created_at": turn.started_at,
        "updated_at": turn.started_at,
        "last_message_at": turn.started_at + TURN_DURATION,
    }
    return empty_conversation(turn.conversation_id).model_copy(update=members)


def empty_conversation(conversation_id: UUID) -> Conversation:
    """Return a conversation without turns."""
    return Conversation(
        id=conversation_id,
        title=None,
        title_source="auto",
        archived=False,
        model=None,
        message_count=0,
        tokens_used=0,
        cost_estimate=None,
        cost=None,
        running_turn_id=None,
        active_message_id=None,
        metadata={},
        version=1,
        created_at=now(),
        updated_at=now(),
        last_message_at=None,
    )


def user_message(turn: SampleTurn) -> Message:
    """Return the message of the user of a turn that has ended."""
    return Message(
        id=turn.user_message_id,
        conversation_id=turn.conversation_id,
        turn_id=turn.turn_id,
        number=turn.number,
        parent_id=turn.parent_id,
        sibling_ids=[],
        sibling_count=0,
        role="user",
        content=turn.question,
        tool_calls=None,
        tool_call_id=None,
        status="completed",
        finish_reason=None,
        model=None,
        usage=None,
        cost=None,
        created_at=turn.started_at,
    )


def assistant_message(turn: SampleTurn) -> Message:
    """Return the answer of a turn that has ended."""
    prompt, completion = turn.tokens or (0, 0)
    usage = Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)
    return Message(
        id=turn.turn_id,
        conversation_id=turn.conversation_id,
        turn_id=turn.turn_id,
        number=turn.number,
        parent_id=turn.user_message_id,
        sibling_ids=[],
        sibling_count=0,
        role="assistant",
        content=turn.answer,
        tool_calls=None,
        tool_call_id=None,
        status="completed",
        finish_reason="stop",
        model=turn.model,
        usage=usage if turn.tokens else None,
        cost=Decimal(turn.cost) if turn.cost else None,
        created_at=turn.started_at + TURN_DURATION,
    )
