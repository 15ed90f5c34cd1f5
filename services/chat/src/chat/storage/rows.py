"""Conversion of Postgres rows into model objects."""

from typing import Any

from chat.model import ConversationState, LogEntry, Turn, TurnError
from parley_events.models import Usage

_SAME = [
    "id",
    "user_id",
    "conversation_id",
    "number",
    "parent_id",
    "regenerate",
    "user_message_id",
    "user_message",
    "user_message_at",
    "system_prompt",
    "model",
    "provider",
    "provider_model",
    "metadata",
    "request_id",
    "context",
    "omitted_turns",
    "prompt_tokens",
    "status",
    "finish_reason",
    "epoch",
    "runner_id",
    "deadline_at",
    "content",
    "tool_calls",
    "cost",
    "price_version",
    "time_to_first_token_ms",
    "log_lost",
    "cached",
    "created_at",
    "started_at",
    "finished_at",
]


def to_turn(row: Any) -> Turn:
    """Convert a row of ``turns``."""
    usage, error = row["usage"], row["error"]
    return Turn(
        **{name: row[name] for name in _SAME},
        entries=tuple(LogEntry.from_json(stored) for stored in row["entries"] or ()),
        usage=Usage(**usage) if usage else None,
        error=TurnError(**error) if error else None,
        cancel_requested=row["cancel_requested_at"] is not None,
    )


def to_conversation(row: Any) -> ConversationState:
    """Convert a row of ``conversations`` with ``running_turn_id``."""
    return ConversationState(
        row["id"],
        row["user_id"],
        row["deleted_at"] is not None,
        row["latest_turn_id"],
        row["system_prompt"],
        row["running_turn_id"],
    )
