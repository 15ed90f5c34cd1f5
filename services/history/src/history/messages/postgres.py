"""Message storage in Postgres."""

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from history.database import Database, Row
from history.messages.schemas import Message
from history.messages.store import MessagePosition
from parley_events.models import Usage

_MESSAGE = """
SELECT m.id, m.conversation_id, m.turn_id, m.number, m.parent_id, m.role, m.content, m.tool_calls, m.status,
    m.created_at, t.finish_reason, coalesce(t.model, m.imported_model) AS model, t.prompt_tokens,
    t.completion_tokens, t.total_tokens, t.cached_tokens,
    t.reasoning_tokens, t.estimated, t.cost
FROM messages AS m LEFT JOIN turns AS t ON t.id = m.id"""
_PATH = """
WITH RECURSIVE path (id, parent_id, step) AS (
    SELECT id, parent_id, 1 FROM messages WHERE conversation_id = $1 AND id = $2
    UNION ALL
    SELECT m.id, m.parent_id, p.step + 1 FROM path AS p JOIN messages AS m
        ON m.id = p.parent_id AND m.conversation_id = $1 AND m.id IS DISTINCT FROM $3
)
SELECT id FROM path LIMIT $4"""
MAX_PATH_LENGTH = 100_000
_FETCH = f"{_MESSAGE} WHERE m.conversation_id = $1 AND m.id = ANY($2::uuid[])"
_SIBLINGS = """
SELECT id, parent_id, role FROM messages
WHERE conversation_id = $1 AND (parent_id = ANY($2::uuid[]) OR ($3 AND parent_id IS NULL))
ORDER BY number, id"""
_TREE = f"""{_MESSAGE}
WHERE m.conversation_id = $1 AND ($2::bigint IS NULL
    OR (m.number, CASE m.role WHEN 'user' THEN 0 ELSE 1 END, m.id) {{compare}} ($2, $3::integer, $4::uuid))
ORDER BY m.number {{order}}, CASE m.role WHEN 'user' THEN 0 ELSE 1 END {{order}}, m.id {{order}} LIMIT $5"""
_TREE_ASCENDING = _TREE.format(compare=">", order="ASC")
_TREE_DESCENDING = _TREE.format(compare="<", order="DESC")


class PostgresMessageStore:
    """Messages in Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def path(self, conversation_id: UUID, leaf: UUID, stop: UUID | None, limit: int | None) -> list[UUID]:
        """Return the ids from ``leaf`` up to the root, or up to (without) ``stop``, at most ``limit``."""
        found = await self._database.fetch(_PATH, conversation_id, leaf, stop, limit or MAX_PATH_LENGTH)
        return [row["id"] for row in found]

    async def fetch(self, conversation_id: UUID, ids: Sequence[UUID]) -> list[Message]:
        """Return messages in the order of their ids."""
        found = {row["id"]: row for row in await self._database.fetch(_FETCH, conversation_id, ids)}
        return await self._with_siblings(conversation_id, [found[one] for one in ids if one in found])

    async def tree(
        self, conversation_id: UUID, after: MessagePosition | None, *, descending: bool, limit: int
    ) -> list[Message]:
        """Return messages of every branch in creation order."""
        query = _TREE_DESCENDING if descending else _TREE_ASCENDING
        position = (after.number, _role_rank(after.role), after.id) if after else (None, None, None)
        found = await self._database.fetch(query, conversation_id, *position, limit)
        return await self._with_siblings(conversation_id, found)

    async def _with_siblings(self, conversation_id: UUID, found: Sequence[Row]) -> list[Message]:
        if not found:
            return []
        parents = {row["parent_id"] for row in found}
        near = await self._database.fetch(_SIBLINGS, conversation_id, list(parents - {None}), None in parents)
        families: dict[tuple[UUID | None, str], list[UUID]] = defaultdict(list)
        for row in near:
            families[row["parent_id"], row["role"]].append(row["id"])
        return [
            _message(row, [one for one in families[row["parent_id"], row["role"]] if one != row["id"]]) for row in found
        ]


def _message(row: Row, siblings: list[UUID]) -> Message:
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


def _usage(row: Row) -> Usage | None:
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


def _role_rank(role: str) -> int:
    """Return the order of a role within its turn, as the SQL above sorts it."""
    return 0 if role == "user" else 1
