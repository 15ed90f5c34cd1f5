"""Interface of the store of e-mail verification tokens."""

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from auth.audit.model import RequestOrigin


@dataclass(frozen=True, slots=True)
class UnverifiedAddress:
    """The address to verify, and the user name of its account."""

    username: str
    email: str


class EmailVerificationStore(Protocol):
    """Stored verification tokens. Each method is one transaction, audit entry included."""

    async def issue(
        self, user_id: UUID, digest: bytes, *, lifetime: int, interval: int, origin: RequestOrigin
    ) -> UnverifiedAddress | None:
        """Store a token for the address of an account.

        None if the account is disabled, has no address or a verified one, or if its last token is younger than
        ``interval`` seconds.
        """
        ...

    async def use(self, digest: bytes, origin: RequestOrigin) -> bool:
        """Mark the address of a token as verified.

        False if the token is used, expired or unknown, or if the account has another address by now.
        """
        ...
