"""What administrators do."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from auth.accounts.plans import Plans
from auth.accounts.ports import Users
from auth.audit.ports import Audit
from auth.model import AuditEntry, Origin, Status, User
from auth.revocations.service import Revocations
from auth.sessions.ports import Sessions
from parley.errors import FieldError, NotFound, ValidationFailed
from parley.ids import parse_id


class Admin:
    """Finds, changes and locks out accounts, and reads the audit log."""

    def __init__(self, users: Users, sessions: Sessions, audit: Audit, revocations: Revocations, plans: Plans) -> None:
        """Take the stores and the plans there are."""
        self._users, self._sessions, self._audit = users, sessions, audit
        self._revocations, self._plans = revocations, plans

    async def search(
        self, *, text: str | None, status: Status | None, plan: str | None, before: UUID | None, limit: int
    ) -> Sequence[User]:
        """Return accounts, newest first."""
        return await self._users.search(text=text, status=status, plan=plan, before=before, limit=limit)

    async def find(self, user_id: str) -> User:
        """Return an account; raises NotFound."""
        parsed = parse_id(user_id)
        found = await self._users.by_id(parsed) if parsed else None
        if found is None:
            raise NotFound
        return found

    async def change(
        self, user_id: str, *, status: Status | None, plan: str | None, scopes: list[str] | None, origin: Origin
    ) -> User:
        """Change an account; raises NotFound, LastAdmin, or ValidationFailed for an unknown plan."""
        if plan is not None and plan not in self._plans.by_name:
            raise ValidationFailed([FieldError("/plan", "unknown_plan", "There is no such plan.")])
        user = await self.find(user_id)
        changed = await self._users.administer(
            user.id, status=status, plan=plan, scopes=None if scopes is None else tuple(scopes), origin=origin
        )
        if changed is None:
            raise NotFound
        await self._revocations.push()
        return changed

    async def end_sessions(self, user_id: str, origin: Origin) -> None:
        """Log an account out everywhere; raises NotFound."""
        user = await self.find(user_id)
        await self._sessions.end_all(user.id, "admin", origin)
        await self._revocations.push()

    async def audit(self, filters: Mapping[str, Any], *, before: UUID | None, limit: int) -> Sequence[AuditEntry]:
        """Return the audit log, newest first."""
        return await self._audit.read(filters, before=before, limit=limit)
