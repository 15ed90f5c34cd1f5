"""Conversion of Postgres rows into model objects."""

import dataclasses
from typing import Any
from uuid import UUID

from chat.input_items import messages_of_input
from chat.model import ConversationState, LogEntry, Outcome, ToolResult, Turn, TurnError
from chat.past_exchanges import PastExchange, result_steps, stands_alone
from parley_events.parts import Usage

_CONVERTED = {"entries", "usage", "error", "cancel_requested", "tool_results"}
_COLUMNS = [field.name for field in dataclasses.fields(Turn) if field.name not in _CONVERTED]
_OUTCOME_COLUMNS = {field.name for field in dataclasses.fields(Outcome)} - {"cost"}


def to_turn(row: Any) -> Turn:
    """Convert a row of ``turns``."""
    usage, error = row["usage"], row["error"]
    return Turn(
        **{name: row[name] for name in _COLUMNS},
        entries=tuple(LogEntry.from_json(stored) for stored in row["entries"] or ()),
        usage=Usage(**usage) if usage else None,
        error=TurnError(**error) if error else None,
        cancel_requested=row["cancel_requested_at"] is not None,
        tool_results=to_tool_results(row["tool_results"]),
    )


def ended_turn(turn: Turn, outcome: Outcome, row: Any) -> Turn:
    """Return a running turn with the outcome that was stored; ``row`` has what the database decides."""
    return dataclasses.replace(
        turn,
        **{name: getattr(outcome, name) for name in _OUTCOME_COLUMNS},
        cost=row["cost"],
        answering_model=row["answering_model"],
        cancel_requested=row["cancel_requested_at"] is not None,
    )


def to_tool_results(stored: list[dict[str, Any]]) -> tuple[ToolResult, ...]:
    """Convert the column ``tool_results``."""
    return tuple(ToolResult(UUID(one["id"]), one["tool_call_id"], one["content"]) for one in stored)


def to_exchange(row: Any) -> PastExchange:
    """Convert a row of the chain of turns."""
    response = row["response"]
    given = messages_of_input(response)
    return PastExchange(
        row["id"],
        row["parent_id"],
        row["user_message"],
        row["content"] or "",
        row["tool_calls"],
        before=result_steps(to_tool_results(row["tool_results"])) if given is None else (),
        continues=row["continues"],
        input=given,
        items=response["input"] if given is not None else None,
        deleted_calls=(response or {}).get("deleted_calls", ()),
        stands_alone=stands_alone(row["id"], row["finish_reason"], response),
        stored_length=row["length"],
    )


def to_conversation(row: Any) -> ConversationState:
    """Convert a row of ``conversations`` with ``running_turn_id`` and ``newest_turn_at``."""
    return ConversationState(
        row["id"],
        row["user_id"],
        row["deleted_at"] is not None,
        row["latest_turn_id"],
        row["system_prompt"],
        row["running_turn_id"],
        row["next_number"],
        row["newest_turn_at"],
        row["item_deletions"],
    )
