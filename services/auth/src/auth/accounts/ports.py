"""Accounts, as auth stores them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from auth.model import (
    Origin,
    Status,
    User,
)


@dataclass(frozen=True, slots=True)
class NewUser:
    """An account to be made."""

    id: UUID
    username: str
    email: str | None
    display_name: str | None
    password_hash: str
    scopes: tuple[str, ...]


class Users(Protocol):
    """Accounts."""

    async def add(self, new: NewUser, origin: Origin) -> User:
        """Store an account; raises AccountExists."""
        ...

    async def by_id(self, user_id: UUID) -> User | None:
        """Return the account."""
        ...

    async def by_login(self, key: str) -> User | None:
        """Return the account with that normalised name or address."""
        ...

    async def change_profile(self, user_id: UUID, changes: Mapping[str, str | None], origin: Origin) -> User | None:
        """Change name, address or display name; raises AccountExists."""
        ...

    async def set_password(
        self, user_id: UUID, password_hash: str, *, keep_session: str | None, origin: Origin
    ) -> None:
        """Store a new password and end every session but the one to keep."""
        ...

    async def rehash(self, user_id: UUID, old_hash: str, new_hash: str) -> None:
        """Replace the hash of an unchanged password."""
        ...

    async def administer(
        self,
        user_id: UUID,
        *,
        status: Status | None,
        plan: str | None,
        scopes: tuple[str, ...] | None,
        origin: Origin,
    ) -> User | None:
        """Change what only administrators may; raises LastAdmin."""
        ...

    async def search(
        self, *, text: str | None, status: Status | None, plan: str | None, before: UUID | None, limit: int
    ) -> Sequence[User]:
        """Return accounts, newest first."""
        ...
