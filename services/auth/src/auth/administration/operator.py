"""Operator service: the account and key management behind the ``parley auth`` commands."""

import secrets
from dataclasses import dataclass, field
from datetime import datetime

from auth.accounts.model import User
from auth.accounts.service import AccountService
from auth.accounts.store import AccountStore
from auth.audit.model import OPERATOR
from auth.password_resets.service import PasswordResetService
from auth.security import identifiers
from auth.security.scopes import ADMIN_SCOPE, DEFAULT_SCOPES
from auth.signing_keys.key_ring import KeyRing
from parley.errors import NotFound

GENERATED_PASSWORD_BYTES = 18


@dataclass(frozen=True, slots=True)
class AdminGrant:
    """A created or promoted administrator; ``password`` is set only for a generated password."""

    user: User
    created: bool
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class IssuedReset:
    """A password reset token with its account and expiry."""

    user: User
    token: str = field(repr=False)
    expires_at: datetime


class OperatorService:
    """Acts for the operator of the server, without an access token."""

    def __init__(
        self, store: AccountStore, accounts: AccountService, resets: PasswordResetService, keys: KeyRing
    ) -> None:
        self._store, self._accounts, self._resets, self._keys = store, accounts, resets, keys

    async def make_admin(self, username: str, *, email: str | None = None, password: str | None = None) -> AdminGrant:
        """Create an administrator, or give an existing account the scope ``admin`` and leave its password unchanged.

        Without a password, one is generated. Raises FieldValueError, PasswordTooWeak or AccountExists.
        """
        name = identifiers.username(username)
        found = await self._store.by_login(identifiers.key(name))
        if found is not None:
            scopes = tuple(sorted({*found.scopes, ADMIN_SCOPE}))
            await self._store.administer(found.id, status=None, plan=None, scopes=scopes, origin=OPERATOR)
            return AdminGrant(found, created=False)
        generated = None if password else secrets.token_urlsafe(GENERATED_PASSWORD_BYTES)
        user = await self._accounts.create(
            username=name,
            email=identifiers.email(email) if email else None,
            password=password or generated or "",
            origin=OPERATOR,
            scopes=(*DEFAULT_SCOPES, ADMIN_SCOPE),
        )
        return AdminGrant(user, created=True, password=generated)

    async def issue_reset(self, login: str) -> IssuedReset:
        """Issue a password reset token for a user name or e-mail address; raises NotFound."""
        user = await self._store.by_login(identifiers.key(login))
        if user is None:
            raise NotFound(f"No account has the user name or e-mail address {login}.")
        token, expires_at = await self._resets.issue(user.id, OPERATOR)
        return IssuedReset(user, token, expires_at)

    async def rotate_signing_key(self) -> str:
        """Publish a new signing key and return its id; running replicas pick it up."""
        return await self._keys.rotate()
