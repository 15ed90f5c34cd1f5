"""Audit log entries and the origin of a request."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID


@dataclass(frozen=True, slots=True)
class RequestOrigin:
    """The actor and the client address of a request, as the audit log records them."""

    actor_type: Literal["user", "operator", "anonymous", "system"] = "anonymous"
    actor_id: UUID | None = None
    address: str | None = None
    user_agent: str | None = None
    request_id: str | None = None


SYSTEM = RequestOrigin("system")
OPERATOR = RequestOrigin("operator")


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One entry of the audit log."""

    id: UUID
    at: datetime
    action: str
    actor_type: str
    actor_id: UUID | None
    target_type: str
    target_id: str
    address: str | None
    request_id: str | None
    detail: dict[str, Any]
