"""Interface of the account store."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol
from uuid import UUID

from auth.accounts.model import NewUser, PasswordChange, Status, User
from auth.audit.model import RequestOrigin

NO_CHANGES: Mapping[str, str | None] = MappingProxyType({})


class AccountStore(Protocol):
    """Stored accounts. Each method is one transaction, events and audit entry included."""

    async def add(self, new: NewUser, origin: RequestOrigin) -> User:
        """Store an account; raises AccountExists."""
        ...

    async def by_id(self, user_id: UUID) -> User | None:
        """Return the account with that id."""
        ...

    async def usernames(self, user_ids: Sequence[UUID]) -> Mapping[UUID, str]:
        """Return the user names of the accounts that exist, by id."""
        ...

    async def by_login(self, key: str) -> User | None:
        """Return the account with that normalised user name or e-mail address."""
        ...

    async def change_profile(
        self, user_id: UUID, changes: Mapping[str, str | None], origin: RequestOrigin
    ) -> User | None:
        """Change user name, e-mail address or display name; raises AccountExists. None if there is no account."""
        ...

    async def set_password(self, change: PasswordChange, origin: RequestOrigin) -> bool:
        """Store a new password hash and end other sessions.

        False, without a change, if the account is missing or disabled, or its hash is no longer the checked one.
        """
        ...

    async def rehash(self, user_id: UUID, old_hash: str, new_hash: str) -> bool:
        """Replace the hash of an unchanged password; False if it is no longer ``old_hash``."""
        ...

    async def administer(
        self,
        user_id: UUID,
        *,
        status: Status | None,
        plan: str | None,
        scopes: tuple[str, ...] | None,
        origin: RequestOrigin,
        profile: Mapping[str, str | None] = NO_CHANGES,
    ) -> User | None:
        """Change status, plan, scopes and the profile; raises LastAdmin or AccountExists. None without an account."""
        ...

    async def search(
        self,
        *,
        text: str | None,
        status: Status | None,
        plan: str | None,
        before: UUID | None,
        limit: int,
        scope: str | None = None,
    ) -> Sequence[User]:
        """Return up to ``limit`` accounts with an id below ``before``, newest first.

        ``text`` is the beginning of a user name or e-mail address.
        """
        ...
