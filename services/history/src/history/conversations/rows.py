"""How rows become what history answers."""

from typing import Any
from uuid import UUID

from history.conversations.schemas import Conversation, Message, cost_estimate
from parley_events.models import Usage

CONVERSATION = """
SELECT c.*,
    CASE WHEN c.active_message_id IS NOT NULL AND c.active_number >= c.last_number
         THEN c.active_message_id ELSE c.last_turn_id END AS active_id,
    (SELECT t.id FROM turns AS t WHERE t.conversation_id = c.id AND t.status = 'running' AND t.stored
     ORDER BY t.number DESC LIMIT 1) AS running_turn_id
FROM conversations AS c"""
MESSAGE = """
SELECT m.id, m.conversation_id, m.turn_id, m.number, m.parent_id, m.role, m.content, m.tool_calls, m.status,
    m.created_at, t.finish_reason, coalesce(t.model, m.imported_model) AS model, t.prompt_tokens,
    t.completion_tokens, t.total_tokens, t.cached_tokens,
    t.reasoning_tokens, t.estimated, t.cost
FROM messages AS m LEFT JOIN turns AS t ON t.id = m.id"""


def conversation(row: Any) -> Conversation:
    """Return the conversation of a row of CONVERSATION."""
    return Conversation(
        id=row["id"],
        title=row["title"],
        title_source=row["title_source"],
        archived=row["archived"],
        model=row["model"],
        message_count=row["message_count"],
        tokens_used=row["tokens_used"],
        cost_estimate=cost_estimate(row["cost"]),
        cost=row["cost"],
        running_turn_id=row["running_turn_id"],
        active_message_id=row["active_id"],
        metadata=row["metadata"],
        version=row["version"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        last_message_at=row["last_message_at"],
    )


def message(row: Any, siblings: list[UUID]) -> Message:
    """Return the message of a row of MESSAGE."""
    return Message(
        id=row["id"],
        conversation_id=row["conversation_id"],
        turn_id=row["turn_id"],
        number=row["number"],
        parent_id=row["parent_id"],
        sibling_ids=siblings,
        role=row["role"],
        content=row["content"],
        tool_calls=row["tool_calls"],
        status=row["status"],
        finish_reason=row["finish_reason"],
        model=row["model"],
        usage=_usage(row),
        cost=row["cost"],
        created_at=row["created_at"],
    )


def _usage(row: Any) -> Usage | None:
    if row["total_tokens"] is None:
        return None
    return Usage(
        prompt_tokens=row["prompt_tokens"],
        completion_tokens=row["completion_tokens"],
        total_tokens=row["total_tokens"],
        cached_tokens=row["cached_tokens"],
        reasoning_tokens=row["reasoning_tokens"],
        estimated=row["estimated"],
    )
