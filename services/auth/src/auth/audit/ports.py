"""The audit log."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

from auth.model import (
    AuditEntry,
)


class Audit(Protocol):
    """The audit log."""

    async def read(self, filters: Mapping[str, Any], *, before: UUID | None, limit: int) -> Sequence[AuditEntry]:
        """Return entries, newest first."""
        ...
