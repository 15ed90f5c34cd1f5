"""PostgreSQL audit log: append-only, written in the transaction of the change it records."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from auth.audit.model import AuditEntry, RequestOrigin
from auth.database import AccountDatabase, Row
from parley.ids import new_id
from parley.storage.postgres import Connection

_RECORD = """
INSERT INTO audit_log (id, action, actor_type, actor_id, target_type, target_id, address, request_id, detail)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"""
_READ = """
SELECT * FROM audit_log
WHERE ($1::uuid IS NULL OR actor_id = $1) AND ($2::text IS NULL OR action = $2)
  AND ($3::text IS NULL OR target_id = $3) AND ($4::timestamptz IS NULL OR at >= $4)
  AND ($5::timestamptz IS NULL OR at < $5) AND ($6::uuid IS NULL OR id < $6)
ORDER BY id DESC LIMIT $7"""


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
    await connection.execute(
        _RECORD,
        new_id(),
        action,
        origin.actor_type,
        origin.actor_id,
        target_type,
        str(target),
        origin.address,
        origin.request_id,
        dict(detail or {}),
    )


class PostgresAuditLog:
    """Read access to the audit log in PostgreSQL."""

    def __init__(self, database: AccountDatabase) -> None:
        self._database = database

    async def read(self, filters: Mapping[str, Any], *, before: UUID | None, limit: int) -> Sequence[AuditEntry]:
        names = ("actor", "action", "target", "from", "to")
        rows = await self._database.fetch(_READ, *(filters.get(name) for name in names), before, limit)
        return [_entry(row) for row in rows]


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
