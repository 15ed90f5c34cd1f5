"""Interface of the API key store."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from auth.accounts.model import User
from auth.api_keys.model import MAX_KEYS, ApiKey
from auth.audit.model import RequestOrigin


class ApiKeyStore(Protocol):
    """Stored API keys. Each method is one transaction, events and audit entry included."""

    async def add(
        self,
        key: ApiKey,
        digest: bytes,
        *,
        idempotency_key: str | None,
        fingerprint: bytes,
        origin: RequestOrigin,
        session_id: UUID | None = None,
        max_keys: int = MAX_KEYS,
    ) -> tuple[ApiKey, bool]:
        """Store a key; returns the stored key and whether it is the replay of an earlier request.

        Raises IdempotencyKeyReused if the Idempotency-Key belongs to a request with another fingerprint,
        TokenRevoked if the session that makes the key has ended, and TooManyApiKeysError if the account has
        ``max_keys``; expired keys are deleted first.
        """
        ...

    async def live(self, user_id: UUID, *, before: UUID | None, limit: int) -> Sequence[ApiKey]:
        """Return up to ``limit`` keys of an account with an id below ``before``, newest first."""
        ...

    async def delete(self, user_id: UUID, key_id: UUID, origin: RequestOrigin) -> bool:
        """Delete a key and revoke the tokens issued for it; False if the account has no such key."""
        ...

    async def use(self, digest: bytes) -> tuple[ApiKey, User] | None:
        """Return an unexpired key with its active owner, and store the time of use."""
        ...
