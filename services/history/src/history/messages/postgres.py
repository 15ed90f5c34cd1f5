"""Messages and turns in Postgres."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from history.conversations import rows
from history.conversations.schemas import Message, TurnDigest
from history.conversations.store import Place
from history.database import Database

_PATH = """
WITH RECURSIVE path (id, parent_id, step) AS (
    SELECT id, parent_id, 1 FROM messages WHERE conversation_id = $1 AND id = $2
    UNION ALL
    SELECT m.id, m.parent_id, p.step + 1 FROM path AS p JOIN messages AS m
        ON m.id = p.parent_id AND m.conversation_id = $1 AND m.id IS DISTINCT FROM $3
)
SELECT id FROM path LIMIT $4"""
LONGEST_PATH = 100_000
_FETCH = f"{rows.MESSAGE} WHERE m.conversation_id = $1 AND m.id = ANY($2::uuid[])"
_SIBLINGS = """
SELECT id, parent_id, role FROM messages
WHERE conversation_id = $1 AND (parent_id = ANY($2::uuid[]) OR ($3 AND parent_id IS NULL))
ORDER BY number, id"""
_TREE = f"""{rows.MESSAGE}
WHERE m.conversation_id = $1 AND ($2::bigint IS NULL
    OR (m.number, CASE m.role WHEN 'user' THEN 0 ELSE 1 END, m.id) {{compare}} ($2, $3::integer, $4::uuid))
ORDER BY m.number {{order}}, CASE m.role WHEN 'user' THEN 0 ELSE 1 END {{order}}, m.id {{order}} LIMIT $5"""
_TREE_ASCENDING = _TREE.format(compare=">", order="ASC")
_TREE_DESCENDING = _TREE.format(compare="<", order="DESC")
_ENDED = """
SELECT EXISTS (SELECT FROM turns WHERE id = $1 AND conversation_id = $2 AND user_id = $3
    AND status <> 'running')"""
_ENDED_OF = "SELECT id FROM turns WHERE id = ANY($1::uuid[]) AND status <> 'running'"
_HEADS = "SELECT user_id, position FROM feed_heads WHERE user_id = ANY($1::uuid[])"
_KNOWN = """
SELECT t.id FROM turns AS t
WHERE t.id = ANY($1::uuid[]) AND t.status <> 'running' AND (
    NOT t.stored
    OR EXISTS (SELECT FROM messages AS m WHERE m.id = t.id AND m.status = t.status)
    OR EXISTS (SELECT FROM conversation_tombstones AS d WHERE d.conversation_id = t.conversation_id))
UNION SELECT dropped_turn_id FROM inbox WHERE dropped_turn_id = ANY($1::uuid[])"""
_DIGESTS = """
SELECT t.id, t.status, encode(sha256(convert_to(m.content, 'UTF8')), 'hex') AS sha256
FROM turns AS t LEFT JOIN messages AS m ON m.id = t.id
WHERE t.id = ANY($1::uuid[]) AND (m.id IS NOT NULL OR NOT t.stored)"""


class PostgresMessages:
    """The messages of a conversation whose owner was checked."""

    def __init__(self, database: Database) -> None:
        """Take history's database."""
        self._database = database

    async def path(self, conversation_id: UUID, leaf: UUID, stop: UUID | None, limit: int | None) -> list[UUID]:
        """Return the ids from ``leaf`` up to the root, or up to (without) ``stop``, at most ``limit``."""
        found = await self._database.fetch(_PATH, conversation_id, leaf, stop, limit or LONGEST_PATH)
        return [row["id"] for row in found]

    async def fetch(self, conversation_id: UUID, ids: Sequence[UUID]) -> list[Message]:
        """Return messages in the order of their ids."""
        found = {row["id"]: row for row in await self._database.fetch(_FETCH, conversation_id, ids)}
        return await self._with_siblings(conversation_id, [found[one] for one in ids if one in found])

    async def tree(self, conversation_id: UUID, after: Place | None, *, descending: bool, limit: int) -> list[Message]:
        """Return messages of every branch in creation order."""
        query = _TREE_DESCENDING if descending else _TREE_ASCENDING
        place = (after.number, rank(after.role), after.id) if after else (None, None, None)
        found = await self._database.fetch(query, conversation_id, *place, limit)
        return await self._with_siblings(conversation_id, found)

    async def _with_siblings(self, conversation_id: UUID, found: Sequence[Any]) -> list[Message]:
        if not found:
            return []
        parents = {row["parent_id"] for row in found}
        near = await self._database.fetch(_SIBLINGS, conversation_id, list(parents - {None}), None in parents)
        families: dict[tuple[UUID | None, str], list[UUID]] = defaultdict(list)
        for row in near:
            families[row["parent_id"], row["role"]].append(row["id"])
        return [
            rows.message(row, [one for one in families[row["parent_id"], row["role"]] if one != row["id"]])
            for row in found
        ]


class PostgresTurns:
    """The turns, with or without text."""

    def __init__(self, database: Database) -> None:
        """Take history's database."""
        self._database = database

    async def ended(self, user_id: UUID, conversation_id: UUID, turn_id: UUID) -> bool:
        """Say whether a turn of the person's conversation is stored to its end."""
        return bool(await self._database.value(_ENDED, turn_id, conversation_id, user_id))

    async def known(self, turn_ids: Collection[UUID]) -> list[UUID]:
        """Return those of the turns that need not be sent again."""
        return [row["id"] for row in await self._database.fetch(_KNOWN, turn_ids)]

    async def digests(self, turn_ids: Collection[UUID]) -> dict[UUID, TurnDigest]:
        """Return what is stored of the turns."""
        found = await self._database.fetch(_DIGESTS, turn_ids)
        return {row["id"]: TurnDigest(status=row["status"], sha256=row["sha256"]) for row in found}

    async def ended_turns(self, turn_ids: Collection[UUID]) -> set[UUID]:
        """Return those of the turns that are stored and ended."""
        return {row["id"] for row in await self._database.fetch(_ENDED_OF, turn_ids)}

    async def feed_heads(self, user_ids: Collection[UUID]) -> Mapping[UUID, int]:
        """Return the newest position in each person's feed."""
        return {row["user_id"]: row["position"] for row in await self._database.fetch(_HEADS, user_ids)}


def rank(role: str) -> int:
    """Return the place of a role within its turn."""
    return 0 if role == "user" else 1
