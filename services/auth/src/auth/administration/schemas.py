"""What administrators change and read."""

from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import Field

from auth.model import AuditEntry, Status
from auth.web.fields import ScopeList
from parley.times import Timestamp
from parley.web.schemas import RequestBody, ResponseBody, Text


class AdminUserBody(RequestBody):
    """What administrators change; a member that is absent stays."""

    status: Status | None = None
    plan: Annotated[Text, Field(min_length=1, max_length=64)] | None = None
    scopes: ScopeList | None = None


class Party(ResponseBody):
    """Who did something, or what it was done to."""

    type: str
    id: str | None


class AuditView(ResponseBody):
    """One line of the audit log."""

    id: UUID
    at: Timestamp
    action: str
    actor: Party
    target: Party
    ip: str | None
    request_id: str | None
    detail: dict[str, Any]

    @classmethod
    def of(cls, entry: AuditEntry) -> Self:
        """Return the view of an entry."""
        return cls(
            id=entry.id,
            at=entry.at,
            action=entry.action,
            actor=Party(type=entry.actor_type, id=str(entry.actor_id) if entry.actor_id else None),
            target=Party(type=entry.target_type, id=entry.target_id),
            ip=entry.address,
            request_id=entry.request_id,
            detail=entry.detail,
        )
