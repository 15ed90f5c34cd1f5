"""The keys that sign tokens, as auth stores them."""

from collections.abc import Sequence
from typing import Protocol

from auth.model import (
    StoredKey,
)


class SigningKeys(Protocol):
    """The stored signing keys."""

    async def all(self) -> Sequence[StoredKey]:
        """Return the keys that are not retired, oldest first."""
        ...

    async def add_if_newest_is(self, newest: str | None, key: StoredKey) -> bool:
        """Add a key unless somebody else has added one meanwhile."""
        ...

    async def retire(self, kid: str) -> None:
        """Forget the private half of a key that verifies nothing any more."""
        ...
