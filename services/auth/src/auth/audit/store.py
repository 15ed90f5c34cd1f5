"""Interface of the audit log."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

from auth.audit.model import AuditEntry


class AuditLog(Protocol):
    """The audit log; the stores write it in their own transactions."""

    async def read(self, filters: Mapping[str, Any], *, before: UUID | None, limit: int) -> Sequence[AuditEntry]:
        """Return up to ``limit`` entries older than ``before``, newest first."""
        ...

    async def purge(self, retention_days: int) -> int:
        """Delete a batch of entries that are older; return their number."""
        ...
