"""Turns in Parley's format: stream events, the ``POST /chat`` response and the turn resource."""

from typing import Any

import orjson

from chat.input_items import files_of_input
from chat.model import LogEntry, Turn
from chat.protocols.parley.schemas import ChatAnswer, TurnResource, TurnUserMessage
from chat.running.turn_view import TurnView
from parley.web.schemas import money
from parley_events.parts import ErrorInfo


def cost_fields(turn: Turn) -> dict[str, Any]:
    """Return the cost as an exact string and as a float for display."""
    if turn.cost is None:
        return {"cost_estimate": None, "cost": None}
    return {"cost_estimate": float(turn.cost), "cost": money(turn.cost)}


def error_info(turn: Turn) -> ErrorInfo | None:
    """Return the error of a failed turn, or None."""
    return ErrorInfo(code=turn.error.code, message=turn.error.message) if turn.error else None


class TurnProjection:
    """JSON objects of one turn's event stream."""

    def __init__(self, turn: Turn) -> None:
        self.turn_id = str(turn.id)
        self._ids = {
            "turn_id": self.turn_id,
            "conversation_id": str(turn.conversation_id) if turn.conversation_id else None,
        }
        self._head = orjson.dumps(self._ids)[:-1] + b',"delta":'

    def started(self, turn: Turn) -> bytes:
        """Return the first event."""
        return orjson.dumps(
            {
                **self._ids,
                "delta": "",
                "finished": False,
                "status": "running",
                "message_id": str(turn.id),
                "user_message_id": str(turn.user_message_id),
                "model": turn.model,
            }
        )

    def delta(self, entry: LogEntry) -> bytes:
        """Return the event of one log entry."""
        delta = self._head + orjson.dumps(entry.text) + b',"finished":false'
        if entry.tool_calls:
            return delta + b',"tool_calls":' + orjson.dumps(entry.tool_calls) + b"}"
        if entry.reasoning:
            return delta + b',"reasoning":' + orjson.dumps(entry.reasoning) + b"}"
        return delta + b"}"

    def finished(self, turn: Turn) -> bytes:
        """Return the final event."""
        error = error_info(turn)
        return orjson.dumps(
            {
                **self._ids,
                "delta": "",
                "finished": True,
                "status": turn.status,
                "finish_reason": turn.finish_reason,
                "tokens_used": turn.usage.total_tokens if turn.usage else None,
                "usage": turn.usage.model_dump() if turn.usage else None,
                **cost_fields(turn),
                "cached": turn.cached,
                "error": error.model_dump() if error else None,
                "context": turn.context,
                "context_omitted_turns": turn.omitted_turns,
            }
        )


def answer(turn: Turn) -> ChatAnswer:
    """Return the ``POST /chat`` response for a finished turn that did not fail."""
    assert turn.status in {"completed", "incomplete", "cancelled"}
    return ChatAnswer(
        message=turn.content or "",
        message_id=turn.id,
        user_message_id=turn.user_message_id,
        conversation_id=turn.conversation_id,
        turn_id=turn.id,
        status=turn.status,
        model=turn.model,
        tokens_used=turn.usage.total_tokens if turn.usage else None,
        usage=turn.usage,
        **cost_fields(turn),
        finish_reason=turn.finish_reason,
        cached=turn.cached,
        tool_calls=turn.tool_calls,
        error=error_info(turn),
        context=turn.context,
        context_omitted_turns=turn.omitted_turns,
        metadata=turn.metadata,
        timestamp=turn.finished_at or turn.created_at,
    )


def resource(view: TurnView) -> TurnResource:
    """Return the resource of ``GET /chat/turns/{id}``."""
    turn = view.turn
    return TurnResource(
        id=turn.id,
        conversation_id=turn.conversation_id,
        number=turn.number,
        status=turn.status,
        stored=turn.stored,
        user_message_id=turn.user_message_id,
        user_message=TurnUserMessage(
            id=turn.user_message_id, content=turn.user_message, files=files_of_input(turn.response)
        ),
        message_id=turn.id,
        message=view.message,
        tool_calls=view.tool_calls,
        model=turn.model,
        system_prompt=turn.system_prompt,
        finish_reason=turn.finish_reason,
        tokens_used=turn.usage.total_tokens if turn.usage else None,
        usage=turn.usage,
        **cost_fields(turn),
        cached=turn.cached,
        error=error_info(turn),
        last_event_id=str(view.last_seq),
        context=turn.context,
        context_omitted_turns=turn.omitted_turns,
        metadata=turn.metadata,
        created_at=turn.created_at,
        started_at=turn.started_at,
        finished_at=turn.finished_at,
    )
