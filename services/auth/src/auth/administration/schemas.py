"""Request and response bodies of administration."""

from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import Field

from auth.accounts.model import Status
from auth.audit.model import AuditEntry
from auth.web.fields import ScopeList
from parley.times import Timestamp
from parley.web.schemas import RequestBody, ResponseBody, Text


class AdminUserBody(RequestBody):
    """A change of an account; absent members stay unchanged."""

    status: Status | None = None
    plan: Annotated[Text, Field(min_length=1, max_length=64)] | None = None
    scopes: ScopeList | None = None


class Party(ResponseBody):
    """The actor or the target of an audit log entry."""

    type: str
    id: str | None


class AuditView(ResponseBody):
    """One entry of the audit log."""

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
