"""Message storage in Postgres."""

from collections.abc import Sequence
from uuid import UUID

from history.database import Database, Row
from history.messages.schemas import BranchMessage, BranchResponse, Message
from history.messages.store import MAX_SIBLING_COUNT, MAX_SIBLING_IDS, BranchQuery, MessagePage, MessagePosition
from parley.storage.bounded_reads import read_until
from parley_events.parts import Usage

# LATERAL (… OFFSET 0) allows Postgres one plan only, a loop over one key of an index: see docs/query-plans.md.
_ONE = "LATERAL (SELECT * FROM messages WHERE id = {} OFFSET 0)"
_COLUMNS = """
SELECT m.id, m.conversation_id, m.turn_id, m.number, m.parent_id, m.role, m.content, m.tool_calls, m.tool_call_id,
    m.status,
    m.created_at, coalesce(t.finish_reason, m.imported_details->>'finish_reason') AS finish_reason,
    CASE WHEN t.finish_reason = 'inserted' THEN NULL ELSE coalesce(t.model, m.imported_model) END AS model,
    t.prompt_tokens, t.completion_tokens, t.total_tokens, t.cached_tokens,
    t.reasoning_tokens, t.estimated, m.imported_details->'usage' AS imported_usage,
    coalesce(t.cost, (m.imported_details->>'cost')::numeric) AS cost,
    CASE WHEN parent.hidden THEN shown_ancestor(m.parent_id) ELSE m.parent_id END AS shown_parent_id"""
_TURN = f"""
LEFT JOIN LATERAL (SELECT * FROM turns WHERE id = m.id OFFSET 0) AS t ON true
LEFT JOIN {_ONE.format("m.parent_id")} AS parent ON true"""  # noqa: S608 - only a constant is interpolated
# An export goes on for as long as its client reads. What is deleted meanwhile is not sent any more.
_IS_THERE = "EXISTS (SELECT FROM conversations WHERE id = $1 AND deleted_at IS NULL)"
_PATH = f"""
WITH RECURSIVE path (id, parent_id, step, hidden) AS (
    SELECT m.id, m.parent_id, 1, m.hidden FROM {_ONE.format("$2")} AS m WHERE m.conversation_id = $1
    UNION ALL
    SELECT m.id, m.parent_id, p.step + 1, m.hidden FROM path AS p CROSS JOIN {_ONE.format("p.parent_id")} AS m
    WHERE m.conversation_id = $1 AND m.id IS DISTINCT FROM $3
)
"""  # noqa: S608 - only constants are interpolated
MAX_PATH_LENGTH = 100_000
_PATH_UP = f"{_PATH} SELECT id FROM path WHERE NOT hidden LIMIT $4"  # noqa: S608 - only constants are interpolated
# From the leaf to the last message of the page by far ancestors, then through the page by parents.
_PATH_DOWN = """
WITH RECURSIVE walk (id, parent_id, depth, jump_id, jump_depth, first, last) AS (
    SELECT a.id, a.parent_id, a.depth, a.jump_id, a.jump_depth, b.first, least(b.first + $4::integer - 1, a.depth)
    FROM message_ancestry AS a CROSS JOIN (
        SELECT coalesce((SELECT depth + 1 FROM message_ancestry WHERE conversation_id = $1 AND id = $3), 0) AS first
    ) AS b
    WHERE a.conversation_id = $1 AND a.id = $2
    UNION ALL
    SELECT a.id, a.parent_id, a.depth, a.jump_id, a.jump_depth, w.first, w.last
    FROM walk AS w CROSS JOIN LATERAL (
        SELECT * FROM message_ancestry WHERE conversation_id = $1
            AND id = CASE WHEN w.jump_depth >= w.last THEN w.jump_id ELSE w.parent_id END OFFSET 0
    ) AS a
    WHERE w.depth > w.first
)
SELECT id FROM walk WHERE depth BETWEEN first AND last ORDER BY depth"""
_WHOLE_PATH_DOWN = f"""{_PATH}
SELECT id FROM (SELECT id, step FROM path LIMIT {MAX_PATH_LENGTH}) AS bounded ORDER BY step DESC LIMIT $4"""  # noqa: S608 - only constants are interpolated
# The query reads one message past the bound, to tell whether there is more, and does not return its text.
_SIZE = "length(m.content)::bigint + coalesce(length(m.tool_calls::text), 0)"
_BRANCH = f"""
WITH RECURSIVE branch (id, parent_id, step, size) AS (
    SELECT m.id, m.parent_id, 1, {_SIZE} FROM {_ONE.format("$2")} AS m
    CROSS JOIN LATERAL (SELECT user_id, deleted_at FROM conversations WHERE id = m.conversation_id OFFSET 0) AS c
    WHERE m.conversation_id = $1 AND c.user_id = $3 AND c.deleted_at IS NULL
    UNION ALL
    SELECT m.id, m.parent_id, b.step + 1, b.size + {_SIZE}
    FROM branch AS b CROSS JOIN {_ONE.format("b.parent_id")} AS m
    WHERE b.size <= $4 AND b.step <= $5 AND m.conversation_id = $1
)
SELECT b.step > $5 OR b.size > $4 AS beyond, m.id, m.parent_id, m.role, m.created_at, m.tool_call_id, m.hidden,
    CASE WHEN b.step <= $5 AND b.size <= $4 THEN m.content END AS content,
    CASE WHEN b.step <= $5 AND b.size <= $4 THEN m.tool_calls END AS tool_calls
FROM branch AS b CROSS JOIN {_ONE.format("b.id")} AS m ORDER BY b.step"""  # noqa: S608 - only constants are interpolated
_FETCH = f"""{read_until("$2", "$3", f"SELECT {_SIZE} AS size FROM messages AS m WHERE m.id = {{id}}")}
{_COLUMNS}, (SELECT max(place) FROM read) AS read_ids
FROM read AS r CROSS JOIN {_ONE.format("($2::uuid[])[r.place]")} AS m {_TURN}
WHERE m.conversation_id = $1 AND NOT m.hidden AND {_IS_THERE} ORDER BY r.place"""  # noqa: S608 - only constants
# The siblings of a message have its parent and role. The index messages_families has them in this order.
_FAMILY = f"""ARRAY(
    SELECT id FROM messages WHERE conversation_id = $1 AND parent_id {{}} AND role = f.role AND NOT hidden
    ORDER BY number, id LIMIT {MAX_SIBLING_COUNT + 1})"""  # noqa: S608 - only constants are interpolated
_FAMILIES = f"""
SELECT parent_id, role, ids[:{MAX_SIBLING_IDS + 1}] AS ids, cardinality(ids) AS size FROM (
    SELECT f.parent_id, f.role, CASE WHEN f.parent_id IS NULL
        THEN {_FAMILY.format("IS NULL")} ELSE {_FAMILY.format("= f.parent_id")} END AS ids
    FROM unnest($2::uuid[], $3::text[]) AS f (parent_id, role) OFFSET 0
) AS families"""  # noqa: S608 - only constants are interpolated
_CREATION_ORDER = "m.number {order}, CASE m.role WHEN 'user' THEN 0 ELSE 1 END {order}, m.id {order}"
_TREE = f"""
SELECT m.id FROM messages AS m
WHERE m.conversation_id = $1 AND NOT m.hidden AND {_IS_THERE}
  AND (m.number, CASE m.role WHEN 'user' THEN 0 ELSE 1 END, m.id) {{compare}} ($2::bigint, $3::integer, $4::uuid)
ORDER BY {_CREATION_ORDER} LIMIT $5"""  # noqa: S608 - only constants are interpolated
_TREE_ASCENDING = _TREE.format(compare=">", order="ASC")
_TREE_DESCENDING = _TREE.format(compare="<", order="DESC")
# Positions rather than NULL: a generic plan cannot use an index for "$2 IS NULL OR …".
_BEFORE_ALL, _AFTER_ALL = (-1, 0, UUID(int=0)), (2**31, 0, UUID(int=0))


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
        arguments = (conversation_id, leaf, stop, limit)
        found = await self._database.fetch(_PATH_DOWN, *arguments)
        if not found:  # the leaf has no ancestry yet, or does not exist
            found = await self._database.fetch(_WHOLE_PATH_DOWN, *arguments)
        return [row["id"] for row in found]

    async def branch(self, wanted: BranchQuery) -> BranchResponse:
        """Return messages from ``leaf`` towards the root, until the next one would exceed a bound."""
        found = await self._database.fetch(
            _BRANCH, wanted.conversation_id, wanted.leaf, wanted.user_id, wanted.characters, wanted.limit
        )
        messages = [_branch_message(row) for row in found if not row["beyond"]]
        return BranchResponse(messages=messages, more=len(messages) < len(found))

    async def fetch(self, conversation_id: UUID, ids: Sequence[UUID], characters: int) -> MessagePage:
        """Return messages in the order of their ids, until they reach ``characters`` together."""
        if not ids:
            return MessagePage([], 0)
        found = await self._database.fetch(_FETCH, conversation_id, ids, characters)
        read = found[0]["read_ids"] if found else len(ids)
        return MessagePage(await self._with_siblings(conversation_id, found), read)

    async def tree(
        self, conversation_id: UUID, after: MessagePosition | None, *, descending: bool, limit: int
    ) -> list[UUID]:
        """Return the ids of messages of every branch in creation order."""
        query = _TREE_DESCENDING if descending else _TREE_ASCENDING
        first = _AFTER_ALL if descending else _BEFORE_ALL
        position = (after.number, _role_rank(after.role), after.id) if after else first
        return [row["id"] for row in await self._database.fetch(query, conversation_id, *position, limit)]

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
        hidden=row["hidden"],
    )


def _message(row: Row, family: Sequence[UUID], size: int) -> Message:
    return Message(
        id=row["id"],
        conversation_id=row["conversation_id"],
        turn_id=row["turn_id"],
        number=row["number"],
        parent_id=row["shown_parent_id"],
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
