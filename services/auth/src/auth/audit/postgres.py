"""PostgreSQL audit log: append-only, written in the transaction of the change it records."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from auth.audit.model import AuditEntry, RequestOrigin
from auth.database import AccountDatabase, Row
from parley.ids import new_id
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


async def record(
    connection: Connection,
    action: str,
    origin: RequestOrigin,
    target: UUID | str,
    *,
    target_type: str = "user",
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Add an entry in the transaction of the caller."""
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


class PostgresAuditLog:
    """Read access to the audit log in PostgreSQL."""

    def __init__(self, database: AccountDatabase) -> None:
        self._database = database

    async def read(self, filters: Mapping[str, Any], *, before: UUID | None, limit: int) -> Sequence[AuditEntry]:
        values = {**filters, "before": before, "limit": limit}
        statement = _read(frozenset(name for name in _CONDITIONS if values.get(name) is not None))
        rows = await self._database.fetch(statement.sql, *statement.arguments(values))
        return [_entry(row) for row in rows]


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
