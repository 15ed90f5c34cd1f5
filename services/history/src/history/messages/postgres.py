"""Message storage in Postgres."""

from collections.abc import Sequence
from uuid import UUID

from history.database import Database, Row
from history.messages.schemas import BranchMessage, BranchResponse, Message
from history.messages.store import MAX_SIBLING_COUNT, MAX_SIBLING_IDS, BranchQuery, MessagePosition
from parley_events.models import Usage

_MESSAGE = """
SELECT m.id, m.conversation_id, m.turn_id, m.number, m.parent_id, m.role, m.content, m.tool_calls, m.tool_call_id,
    m.status,
    m.created_at, coalesce(t.finish_reason, m.imported_details->>'finish_reason') AS finish_reason,
    coalesce(t.model, m.imported_model) AS model, t.prompt_tokens, t.completion_tokens, t.total_tokens, t.cached_tokens,
    t.reasoning_tokens, t.estimated, m.imported_details->'usage' AS imported_usage,
    coalesce(t.cost, (m.imported_details->>'cost')::numeric) AS cost
FROM messages AS m LEFT JOIN turns AS t ON t.id = m.id"""
_PATH = """
WITH RECURSIVE path (id, parent_id, step) AS (
    SELECT id, parent_id, 1 FROM messages WHERE conversation_id = $1 AND id = $2
    UNION ALL
    SELECT m.id, m.parent_id, p.step + 1 FROM path AS p JOIN messages AS m
        ON m.id = p.parent_id AND m.conversation_id = $1 AND m.id IS DISTINCT FROM $3
)
"""
MAX_PATH_LENGTH = 100_000
_PATH_UP = f"{_PATH} SELECT id FROM path LIMIT $4"  # noqa: S608 - only a constant is interpolated
_PATH_DOWN = f"""{_PATH}
SELECT id FROM (SELECT id, step FROM path LIMIT {MAX_PATH_LENGTH}) AS bounded ORDER BY step DESC LIMIT $4"""  # noqa: S608 - only constants are interpolated
# The query reads one message past the bound, to tell whether there is more, and does not return its text.
_SIZE = "length(m.content)::bigint + coalesce(length(m.tool_calls::text), 0)"
_BRANCH = f"""
WITH RECURSIVE branch (id, parent_id, step, size) AS (
    SELECT m.id, m.parent_id, 1, {_SIZE} FROM messages AS m JOIN conversations AS c ON c.id = m.conversation_id
    WHERE m.conversation_id = $1 AND m.id = $2 AND c.user_id = $3 AND c.deleted_at IS NULL
    UNION ALL
    SELECT m.id, m.parent_id, b.step + 1, b.size + {_SIZE}
    FROM branch AS b JOIN messages AS m ON m.id = b.parent_id AND m.conversation_id = $1
    WHERE b.size <= $4 AND b.step <= $5
)
SELECT b.step > $5 OR b.size > $4 AS beyond, m.id, m.parent_id, m.role, m.created_at, m.tool_call_id,
    CASE WHEN b.step <= $5 AND b.size <= $4 THEN m.content END AS content,
    CASE WHEN b.step <= $5 AND b.size <= $4 THEN m.tool_calls END AS tool_calls
FROM branch AS b JOIN messages AS m ON m.id = b.id ORDER BY b.step"""  # noqa: S608 - only constants are interpolated
_FETCH = f"{_MESSAGE} WHERE m.conversation_id = $1 AND m.id = ANY($2::uuid[])"
# The siblings of a message have its parent and role. The index messages_families has them in this order.
_FAMILIES = f"""
SELECT f.parent_id, f.role, s.ids, s.size
FROM unnest($2::uuid[], $3::text[]) AS f (parent_id, role) CROSS JOIN LATERAL (
    SELECT (array_agg(id ORDER BY number, id))[:{MAX_SIBLING_IDS + 1}] AS ids, count(*) AS size FROM (
        (SELECT id, number FROM messages
         WHERE conversation_id = $1 AND parent_id = f.parent_id AND role = f.role
         ORDER BY number, id LIMIT {MAX_SIBLING_COUNT + 1})
        UNION ALL
        (SELECT id, number FROM messages
         WHERE conversation_id = $1 AND parent_id IS NULL AND role = f.role AND f.parent_id IS NULL
         ORDER BY number, id LIMIT {MAX_SIBLING_COUNT + 1})
    ) AS family
) AS s"""  # noqa: S608 - only constants are interpolated
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
        found = await self._database.fetch(_PATH_UP, conversation_id, leaf, stop, limit or MAX_PATH_LENGTH)
        return [row["id"] for row in found]

    async def path_down(self, conversation_id: UUID, leaf: UUID, stop: UUID | None, limit: int) -> list[UUID]:
        """Return the first ``limit`` ids of the path from the root, or from below ``stop``, down to ``leaf``."""
        found = await self._database.fetch(_PATH_DOWN, conversation_id, leaf, stop, limit)
        return [row["id"] for row in found]

    async def branch(self, wanted: BranchQuery) -> BranchResponse:
        """Return messages from ``leaf`` towards the root, until the next one would exceed a bound."""
        found = await self._database.fetch(
            _BRANCH, wanted.conversation_id, wanted.leaf, wanted.user_id, wanted.characters, wanted.limit
        )
        messages = [_branch_message(row) for row in found if not row["beyond"]]
        return BranchResponse(messages=messages, more=len(messages) < len(found))

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
        wanted = list({(row["parent_id"], row["role"]) for row in found})
        parents, roles = zip(*wanted, strict=True)
        families = {
            (row["parent_id"], row["role"]): (row["ids"], row["size"])
            for row in await self._database.fetch(_FAMILIES, conversation_id, parents, roles)
        }
        return [_message(row, *families[row["parent_id"], row["role"]]) for row in found]


def _branch_message(row: Row) -> BranchMessage:
    return BranchMessage(
        id=row["id"],
        parent_id=row["parent_id"],
        role=row["role"],
        content=row["content"],
        tool_calls=row["tool_calls"],
        tool_call_id=row["tool_call_id"],
        created_at=row["created_at"],
    )


def _message(row: Row, family: Sequence[UUID], size: int) -> Message:
    return Message(
        id=row["id"],
        conversation_id=row["conversation_id"],
        turn_id=row["turn_id"],
        number=row["number"],
        parent_id=row["parent_id"],
        sibling_ids=[one for one in family if one != row["id"]][:MAX_SIBLING_IDS],
        sibling_count=size - 1,
        role=row["role"],
        content=row["content"],
        tool_calls=row["tool_calls"],
        tool_call_id=row["tool_call_id"],
        status=row["status"],
        finish_reason=row["finish_reason"],
        model=row["model"],
        usage=_usage(row),
        cost=row["cost"],
        created_at=row["created_at"],
    )


def _usage(row: Row) -> Usage | None:
    if row["total_tokens"] is None:
        return Usage(**row["imported_usage"]) if row["imported_usage"] else None
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
