"""API keys, as auth stores them."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from auth.model import (
    ApiKey,
    Origin,
    User,
)


class ApiKeys(Protocol):
    """API keys."""

    async def add(
        self, key: ApiKey, digest: bytes, *, idempotency_key: str | None, fingerprint: bytes, origin: Origin
    ) -> tuple[ApiKey, bool]:
        """Store a key, or return the one made with the same Idempotency-Key and True; IdempotencyKeyReused."""
        ...

    async def live(self, user_id: UUID, *, before: UUID | None, limit: int) -> Sequence[ApiKey]:
        """Return the keys of an account, newest first."""
        ...

    async def delete(self, user_id: UUID, key_id: UUID, origin: Origin) -> bool:
        """Delete a key and void the tokens made from it."""
        ...

    async def use(self, digest: bytes) -> tuple[ApiKey, User] | None:
        """Return a key that has not expired, with its active owner, and note the use."""
        ...
