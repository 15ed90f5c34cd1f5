"""Interface of the signing key store."""

from collections.abc import Sequence
from typing import Protocol

from auth.signing_keys.model import StoredSigningKey


class SigningKeyStore(Protocol):
    """Stored signing keys. Each method is one transaction, audit entry included."""

    async def all(self) -> Sequence[StoredSigningKey]:
        """Return the keys that are not retired, oldest first."""
        ...

    async def add_if_newest_is(self, newest: str | None, key: StoredSigningKey) -> bool:
        """Add a key if the newest stored key has the id ``newest``; False if another replica added one first."""
        ...

    async def retire(self, kid: str) -> None:
        """Delete the private half of a key and stop listing it."""
        ...
