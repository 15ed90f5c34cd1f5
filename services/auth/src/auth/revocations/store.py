"""Interface of the revocation store, and of the cache that gateways read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from auth.revocations.model import Revocation


class RevocationStore(Protocol):
    """Stored revocations."""

    async def unpushed(self) -> Sequence[Revocation]:
        """Return unexpired revocations that may be missing from the cache."""
        ...

    async def live(self, after: Revocation | None, limit: int) -> Sequence[Revocation]:
        """Return a page of the unexpired revocations, by kind and subject: the first one, or those after another."""
        ...

    async def mark_pushed(self, done: Sequence[Revocation]) -> None:
        """Store that the cache has these revocations."""
        ...

    async def find_revoked(self, sessions: Sequence[UUID], users: Mapping[UUID, int]) -> tuple[list[UUID], list[UUID]]:
        """Return the revoked ones among sessions, and among users with the second their token was issued."""
        ...

    async def purge(self) -> int:
        """Delete expired revocations; returns how many."""
        ...


@dataclass(frozen=True, slots=True)
class CacheState:
    """The run of the cache server, and whether it is marked as having every live revocation."""

    run: str
    is_complete: bool


class RevocationCache(Protocol):
    """The copy of the revocations that gateways read."""

    async def state(self) -> CacheState:
        """Return the state of the cache."""
        ...

    async def write(self, revocations: Sequence[Revocation]) -> None:
        """Write revocations; each expires by itself."""
        ...

    async def complete(self) -> None:
        """Mark the cache as holding every live revocation."""
        ...
