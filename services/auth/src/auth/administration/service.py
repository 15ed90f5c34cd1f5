"""Administration service: accounts and the audit log."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from auth.accounts.model import Status, User
from auth.accounts.plans import Plans
from auth.accounts.store import AccountStore
from auth.audit.model import AuditEntry, RequestOrigin
from auth.audit.store import AuditLog
from auth.revocations.service import RevocationService
from auth.security.reauthentication import require_recent_login
from auth.security.scopes import ADMIN_SCOPE
from auth.sessions.store import SessionStore
from auth.tokens.token_issuer import API_KEY_CLIENT
from parley.errors import FieldError, NotFound, ValidationFailed
from parley.ids import parse_id
from parley.security.identity import Principal


class AdminService:
    """Finds and changes accounts, ends their sessions, and reads the audit log."""

    def __init__(
        self,
        accounts: AccountStore,
        sessions: SessionStore,
        audit: AuditLog,
        revocations: RevocationService,
        plans: Plans,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._accounts, self._sessions, self._audit = accounts, sessions, audit
        self._revocations, self._plans, self._clock = revocations, plans, clock

    async def search(
        self, *, text: str | None, status: Status | None, plan: str | None, before: UUID | None, limit: int
    ) -> Sequence[User]:
        """Return up to ``limit`` accounts with an id below ``before``, newest first."""
        return await self._accounts.search(text=text, status=status, plan=plan, before=before, limit=limit)

    async def find(self, user_id: str) -> User:
        """Return an account; raises NotFound."""
        parsed = parse_id(user_id)
        found = await self._accounts.by_id(parsed) if parsed else None
        if found is None:
            raise NotFound
        return found

    async def change(
        self,
        principal: Principal,
        user_id: str,
        *,
        status: Status | None,
        plan: str | None,
        scopes: list[str] | None,
        origin: RequestOrigin,
    ) -> User:
        """Change an account.

        Raises NotFound, LastAdmin, ValidationFailed for an unknown plan, and ReauthenticationRequired if the account
        becomes an administrator and the login of the caller is too old.
        """
        if plan is not None and plan not in self._plans.by_name:
            raise ValidationFailed([FieldError("/plan", "unknown_plan", "The plan is not defined in the plans file.")])
        user = await self.find(user_id)
        if ADMIN_SCOPE in (scopes or ()) and ADMIN_SCOPE not in user.scopes:
            require_recent_login(principal, self._clock())
        changed = await self._accounts.administer(
            user.id, status=status, plan=plan, scopes=None if scopes is None else tuple(scopes), origin=origin
        )
        if changed is None:
            raise NotFound
        await self._revocations.push()
        return changed

    def authorise_reset(self, principal: Principal, user: User) -> None:
        """Check that the caller may issue a reset token for an account; raises ReauthenticationRequired.

        An API key may do so for accounts that are no administrators: it is permanent already and gains nothing.
        """
        if principal.client_id != API_KEY_CLIENT or ADMIN_SCOPE in user.scopes:
            require_recent_login(principal, self._clock())

    async def end_sessions(self, user_id: str, origin: RequestOrigin) -> None:
        """End every session of an account; raises NotFound."""
        user = await self.find(user_id)
        await self._sessions.end_all(user.id, "admin", origin)
        await self._revocations.push()

    async def audit(self, filters: Mapping[str, Any], *, before: UUID | None, limit: int) -> Sequence[AuditEntry]:
        """Return up to ``limit`` audit log entries with an id below ``before``, newest first."""
        return await self._audit.read(filters, before=before, limit=limit)
