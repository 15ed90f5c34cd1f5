"""Tokens for people who forgot their password."""

from datetime import datetime
from typing import Protocol
from uuid import UUID

from auth.model import (
    Origin,
    User,
)


class Resets(Protocol):
    """Tokens for people who forgot their password."""

    async def issue(self, user_id: UUID, digest: bytes, lifetime: int, origin: Origin) -> datetime | None:
        """Store a token and return when it ends; None without such an account."""
        ...

    async def request(self, email_key: str, digest: bytes, *, lifetime: int, pause: int, origin: Origin) -> User | None:
        """Store a token beside earlier ones; None without such an active account, or ``pause`` s after the last."""
        ...

    async def find(self, digest: bytes) -> User | None:
        """Return the account of a token that may still be used."""
        ...

    async def use(self, digest: bytes, password_hash: str, origin: Origin) -> bool:
        """Set the password and end every session; False when the token is not valid (any more)."""
        ...
