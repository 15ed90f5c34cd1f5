"""Administration service: accounts and the audit log."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from auth.accounts.model import Status, User
from auth.accounts.service import AccountService
from auth.accounts.store import NO_CHANGES, AccountStore
from auth.administration.creation import AccountCreator, AccountRequest, CreatedAccount
from auth.audit.model import AuditEntry, RequestOrigin
from auth.audit.store import AuditLog
from auth.revocations.service import RevocationService
from auth.security.reauthentication import require_recent_login
from auth.security.scopes import ADMIN_SCOPE
from auth.sessions.model import Session
from auth.sessions.store import SessionStore
from auth.tokens.token_issuer import API_KEY_CLIENT
from parley.errors import NotFound, ValidationFailed
from parley.field_errors import FieldError
from parley.ids import parse_id
from parley.security.identity import Principal

INVITED = "The account becomes active when its owner chooses a password. Issue a new link with `password-reset`."


class AdminService:
    """Finds and changes accounts, ends their sessions, and reads the audit log."""

    def __init__(
        self,
        accounts: AccountStore,
        sessions: SessionStore,
        audit: AuditLog,
        revocations: RevocationService,
        *,
        accounts_service: AccountService,
        creator: AccountCreator,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._accounts, self._sessions, self._audit = accounts, sessions, audit
        self._revocations, self._creator, self._clock = revocations, creator, clock
        self._service = accounts_service

    async def search(
        self,
        *,
        text: str | None,
        status: Status | None,
        plan: str | None,
        scope: str | None,
        before: UUID | None,
        limit: int,
    ) -> Sequence[User]:
        """Return up to ``limit`` accounts with an id below ``before``, newest first."""
        return await self._accounts.search(text=text, status=status, plan=plan, before=before, limit=limit, scope=scope)

    async def create(self, principal: Principal, wanted: AccountRequest, origin: RequestOrigin) -> CreatedAccount:
        """Create an account, even while registration is closed.

        Raises AccountExists, PasswordTooWeak, ValidationFailed for an unknown plan, and ReauthenticationRequired.
        """
        self._authorise_credential(principal, wanted.scopes)
        return await self._creator.create(wanted, origin)

    async def find(self, user_id: str) -> User:
        """Return an account; raises NotFound."""
        parsed = parse_id(user_id)
        found = await self._accounts.by_id(parsed) if parsed else None
        if found is None:
            raise NotFound
        return found

    async def usernames(self, user_ids: Sequence[UUID]) -> Mapping[UUID, str]:
        """Return the user names of the accounts that exist, by id."""
        return await self._accounts.usernames(user_ids)

    async def change(
        self,
        principal: Principal,
        user_id: str,
        *,
        status: Status | None,
        plan: str | None,
        scopes: list[str] | None,
        origin: RequestOrigin,
        profile: Mapping[str, str | None] = NO_CHANGES,
    ) -> User:
        """Change an account; ``profile`` may have an e-mail address and a display name.

        A disabled account whose owner never chose a password is ``invited`` after it is enabled.
        Raises NotFound, LastAdmin, AccountExists, ValidationFailed for an unknown plan or for enabling an invited
        account, and ReauthenticationRequired if the account becomes an administrator or gets another e-mail address.
        """
        if plan is not None:
            self._creator.check_plan(plan)
        user = await self.find(user_id)
        if status == "active" and user.status == "invited":
            raise ValidationFailed([FieldError("/status", "invited", INVITED)])
        if ADMIN_SCOPE in (scopes or ()) and ADMIN_SCOPE not in user.scopes:
            require_recent_login(principal, self._clock())
        if profile.get("email", user.email) != user.email:
            self._authorise_credential(principal, user.scopes)
        changed = await self._accounts.administer(
            user.id,
            status=status,
            plan=plan,
            scopes=None if scopes is None else tuple(scopes),
            origin=origin,
            profile=profile,
        )
        if changed is None:
            raise NotFound
        await self._revocations.push()
        await self._service.announce_email(user, changed, origin)
        return changed

    def authorise_reset(self, principal: Principal, user: User) -> None:
        """Check that the caller may issue a reset token for an account; raises ReauthenticationRequired.

        An API key may do so for accounts that are no administrators: it is permanent already and gains nothing.
        """
        self._authorise_credential(principal, user.scopes)

    async def sessions(self, user_id: str, *, before: UUID | None, limit: int) -> Sequence[Session]:
        """Return up to ``limit`` live sessions of an account, newest first; raises NotFound."""
        user = await self.find(user_id)
        return await self._sessions.live(user.id, before=before, limit=limit)

    async def end_sessions(self, user_id: str, origin: RequestOrigin) -> None:
        """End every session of an account; raises NotFound."""
        user = await self.find(user_id)
        await self._sessions.end_all(user.id, "admin", origin)
        await self._revocations.push()

    async def end_session(self, user_id: str, session_id: str, origin: RequestOrigin) -> None:
        """End one session of an account; raises NotFound."""
        user, session = await self.find(user_id), parse_id(session_id)
        if session is None or not await self._sessions.end(user.id, session, "admin", origin):
            raise NotFound
        await self._revocations.push()

    async def audit(self, filters: Mapping[str, Any], *, before: UUID | None, limit: int) -> Sequence[AuditEntry]:
        """Return up to ``limit`` audit log entries with an id below ``before``, newest first."""
        return await self._audit.read(filters, before=before, limit=limit)

    def _authorise_credential(self, principal: Principal, scopes: Sequence[str]) -> None:
        """Check that the caller may hand out a credential of an account with these scopes."""
        if principal.client_id != API_KEY_CLIENT or ADMIN_SCOPE in scopes:
            require_recent_login(principal, self._clock())
