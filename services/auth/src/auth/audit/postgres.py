"""PostgreSQL audit log: written in the transaction of the change it records, never changed, deleted when it is old."""

import functools
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from auth.audit.model import AuditEntry, RequestOrigin
from auth.database import AccountDatabase, Row
from auth.errors import too_many_changes
from parley import times
from parley.ids import first_id, new_id
from parley.storage.named_parameters import NamedStatement
from parley.storage.postgres import Connection

_RECORD = NamedStatement("""
INSERT INTO audit_log (id, action, actor_type, actor_id, target_type, target_id, address, request_id, detail)
VALUES (:id, :action, :actor_type, :actor_id, :target_type, :target_id, :address, :request_id, :detail)""")
_CONDITIONS = {
    "actor": "actor_id = :actor::uuid",
    "action": "action = :action::text",
    "target": "target_id = :target::text",
    "from": "at >= :from::timestamptz",
    "to": "at < :to::timestamptz",
    "before": "id < :before::uuid",
}


MAX_OWN_ENTRIES = 1000
"""Entries of one action that the owner of an account can cause in a day. Beyond them, the action itself is refused."""
OWN_WINDOW = timedelta(days=1)
# Only what an owner can repeat without an end. The deletions of keys and sessions are as many as these.
_OWN_ENTRIES = {
    "apikey.created": "actor_id = :actor::uuid",
    "password.changed": "target_id = :target::text AND actor_id = :actor::uuid",
    "session.new_device": "target_id = :target::text AND actor_id IS NOT DISTINCT FROM :actor::uuid",
    "user.updated": "target_id = :target::text AND actor_id = :actor::uuid",
}
_LAST_ALLOWED = {
    action: NamedStatement(f"""
SELECT at FROM audit_log WHERE {own} AND id > :since AND action = :action
ORDER BY id DESC OFFSET :most - 1 LIMIT 1""")  # noqa: S608 - only constants are interpolated
    for action, own in _OWN_ENTRIES.items()
}
_PURGE = """
DELETE FROM audit_log WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM audit_log WHERE id < $1 AND at < now() - make_interval(days => $2)
    ORDER BY id LIMIT 1000 FOR UPDATE SKIP LOCKED
))"""


async def record(
    connection: Connection,
    action: str,
    origin: RequestOrigin,
    target: UUID | str,
    *,
    target_type: str = "user",
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Add an entry in the transaction of the caller.

    Raises RateLimited if the owner of the account has caused ``MAX_OWN_ENTRIES`` of the action within a day.
    """
    if action in _LAST_ALLOWED and (origin.actor_id is None or target_type != "user" or origin.actor_id == target):
        await _require_few(connection, action, origin, target)
    values = {
        "id": new_id(),
        "action": action,
        "actor_type": origin.actor_type,
        "actor_id": origin.actor_id,
        "target_type": target_type,
        "target_id": str(target),
        "address": origin.address,
        "request_id": origin.request_id,
        "detail": dict(detail or {}),
    }
    await connection.execute(_RECORD.sql, *_RECORD.arguments(values))


async def _require_few(connection: Connection, action: str, origin: RequestOrigin, target: UUID | str) -> None:
    now = times.now()
    values = {
        "action": action,
        "actor": origin.actor_id,
        "target": str(target),
        "since": first_id(now - OWN_WINDOW),
        "most": MAX_OWN_ENTRIES,
    }
    statement = _LAST_ALLOWED[action]
    first: datetime | None = await connection.fetchval(statement.sql, *statement.arguments(values))
    if first is not None:
        raise too_many_changes(max(1, round((first + OWN_WINDOW - now).total_seconds())))


class PostgresAuditLog:
    """The audit log in PostgreSQL, without the writing of entries."""

    def __init__(self, database: AccountDatabase) -> None:
        self._database = database

    async def read(self, filters: Mapping[str, Any], *, before: UUID | None, limit: int) -> Sequence[AuditEntry]:
        values = {**filters, "before": before, "limit": limit}
        statement = _read(frozenset(name for name in _CONDITIONS if values.get(name) is not None))
        rows = await self._database.fetch(statement.sql, *statement.arguments(values))
        return [_entry(row) for row in rows]

    async def purge(self, retention_days: int) -> int:
        before = first_id(times.now() - timedelta(days=retention_days))
        return await self._database.execute(_PURGE, before, retention_days)


@functools.lru_cache(maxsize=1 << len(_CONDITIONS))
def _read(given: frozenset[str]) -> NamedStatement:
    """Return the statement with these conditions: a generic plan has no index for "$1 IS NULL OR …"."""
    where = " AND ".join(condition for name, condition in _CONDITIONS.items() if name in given)
    return NamedStatement(f"SELECT * FROM audit_log WHERE {where or 'true'} ORDER BY id DESC LIMIT :limit")  # noqa: S608 - only constants are interpolated


def _entry(row: Row) -> AuditEntry:
    return AuditEntry(
        id=row["id"],
        at=row["at"],
        action=row["action"],
        actor_type=row["actor_type"],
        actor_id=row["actor_id"],
        target_type=row["target_type"],
        target_id=row["target_id"],
        address=row["address"],
        request_id=row["request_id"],
        detail=row["detail"],
    )
