"""Interface of the password reset store."""

from datetime import datetime
from typing import Protocol
from uuid import UUID

from auth.accounts.model import User
from auth.audit.model import RequestOrigin


class PasswordResetStore(Protocol):
    """Stored password reset tokens. Each method is one transaction, events and audit entry included."""

    async def issue(self, user_id: UUID, digest: bytes, lifetime: int, origin: RequestOrigin) -> datetime | None:
        """Store a token that replaces earlier ones, and return its expiry; None if there is no account."""
        ...

    async def request(
        self, email_key: str, digest: bytes, *, lifetime: int, interval: int, origin: RequestOrigin
    ) -> User | None:
        """Store a token beside earlier ones.

        None if no active account has verified the address, or if its last token is younger than ``interval`` seconds.
        """
        ...

    async def find(self, digest: bytes) -> User | None:
        """Return the account of an unused, unexpired token."""
        ...

    async def use(self, digest: bytes, password_hash: str, origin: RequestOrigin, *, end_api_keys: bool) -> bool:
        """Store the new password hash and end every session; False if the token is used, expired or unknown.

        With ``end_api_keys``, the API keys that were made since the password was last set end, too.
        """
        ...
