"""Operator service: the account and key management behind the ``parley admin`` commands."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal
from uuid import UUID

from auth.accounts.model import Status, User
from auth.accounts.store import AccountStore
from auth.administration.creation import AccountCreator, AccountRequest
from auth.audit.model import OPERATOR
from auth.erasure.model import Erasure
from auth.erasure.service import ErasureService
from auth.errors import AccountExists
from auth.password_resets.model import PasswordLink
from auth.password_resets.service import PasswordResetService
from auth.revocations.service import RevocationService
from auth.security import identifiers
from auth.security.scopes import ADMIN_SCOPE
from auth.signing_keys.key_ring import KeyRing
from parley.errors import NotFound, ValidationFailed
from parley.field_errors import FieldError, json_pointer
from parley.web.validation import FieldValueError

AccountOutcome = Literal["created", "changed", "unchanged"]


@dataclass(frozen=True, slots=True)
class AccountResult:
    """An account, what happened to it, and the link for its first password if it needs one."""

    user: User
    outcome: AccountOutcome
    link: PasswordLink | None = None


@dataclass(frozen=True, slots=True)
class IssuedReset:
    """A password link and its account."""

    user: User
    link: PasswordLink


class OperatorService:
    """Acts for the operator of the server, without an access token. Every change is in the audit log.

    A repeated command finds its work done and changes nothing.
    """

    def __init__(
        self,
        store: AccountStore,
        creator: AccountCreator,
        resets: PasswordResetService,
        erasures: ErasureService,
        revocations: RevocationService,
        keys: KeyRing,
    ) -> None:
        self._store, self._creator, self._resets = store, creator, resets
        self._erasures, self._revocations, self._keys = erasures, revocations, keys

    async def create_user(self, wanted: AccountRequest) -> AccountResult:
        """Create an account, or return the one that has this name and address.

        Raises ValidationFailed, PasswordTooWeak, and AccountExists if the name or address is taken.
        """
        wanted = _stored_form(wanted)
        found = await self._store.by_login(identifiers.key(wanted.username))
        if found is None:
            created = await self._creator.create(wanted, OPERATOR)
            return AccountResult(created.user, "created", created.invitation)
        if wanted.email and identifiers.key(wanted.email) != identifiers.key(found.email or ""):
            raise AccountExists(f"The account {found.username} exists with another e-mail address.")
        return AccountResult(found, "unchanged")

    async def make_admin(self, wanted: AccountRequest) -> AccountResult:
        """Create an administrator, or give an existing account the scope ``admin`` and leave its password unchanged.

        Raises ValidationFailed, PasswordTooWeak or AccountExists.
        """
        wanted = replace(wanted, scopes=tuple(sorted({*wanted.scopes, ADMIN_SCOPE})))
        result = await self.create_user(wanted)
        if ADMIN_SCOPE in result.user.scopes:
            return result
        scopes = tuple(sorted({*result.user.scopes, ADMIN_SCOPE}))
        changed = await self._store.administer(result.user.id, status=None, plan=None, scopes=scopes, origin=OPERATOR)
        return AccountResult(changed or result.user, "changed")

    async def has_admin(self) -> bool:
        """Return whether an account has the scope ``admin``, with or without a password."""
        return bool(await self.users(scope=ADMIN_SCOPE, limit=1))

    async def users(
        self,
        *,
        text: str | None = None,
        status: Status | None = None,
        scope: str | None = None,
        before: UUID | None = None,
        limit: int = 100,
    ) -> Sequence[User]:
        """Return up to ``limit`` accounts, newest first."""
        return await self._store.search(text=text, status=status, plan=None, before=before, limit=limit, scope=scope)

    async def set_status(self, login: str, status: Literal["active", "disabled"]) -> AccountResult:
        """Enable or disable an account; raises NotFound or LastAdmin. An invited account stays invited."""
        user = await self._find(login)
        if status == user.status or (status == "active" and user.status == "invited"):
            return AccountResult(user, "unchanged")
        changed = await self._store.administer(user.id, status=status, plan=None, scopes=None, origin=OPERATOR)
        await self._revocations.push()
        return AccountResult(changed or user, "changed")

    async def erase(self, login: str) -> tuple[User, Erasure]:
        """Erase an account in every service; raises NotFound or LastAdmin."""
        user = await self._find(login)
        return user, await self._erasures.erase(user.id, OPERATOR)

    async def issue_reset(self, login: str) -> IssuedReset:
        """Issue a password link for a user name or e-mail address; raises NotFound."""
        user = await self._find(login)
        return IssuedReset(user, await self._resets.issue(user, OPERATOR))

    async def rotate_signing_key(self) -> str:
        """Publish a new signing key and return its id; running replicas pick it up."""
        return await self._keys.rotate()

    async def _find(self, login: str) -> User:
        user = await self._store.by_login(identifiers.key(login))
        if user is None:
            raise NotFound(f"No account has the user name or e-mail address {login}.")
        return user


def _stored_form(wanted: AccountRequest) -> AccountRequest:
    return replace(
        wanted,
        username=_field("username", identifiers.username, wanted.username),
        email=_field("email", identifiers.email, wanted.email) if wanted.email else None,
    )


def _field(name: str, stored_form: Callable[[str], str], text: str) -> str:
    try:
        return stored_form(text)
    except FieldValueError as error:
        raise ValidationFailed([FieldError(json_pointer(name), error.code, error.detail)]) from None
