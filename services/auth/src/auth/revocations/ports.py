"""What is void before its time: as auth stores it, and as gateways read it."""

from collections.abc import Mapping, Sequence
from typing import Protocol
from uuid import UUID

from auth.model import (
    Revocation,
)


class Revocations(Protocol):
    """What is void before its time."""

    async def unpushed(self) -> Sequence[Revocation]:
        """Return the live ones that Redis may not have yet."""
        ...

    async def live(self) -> Sequence[Revocation]:
        """Return all that still matter."""
        ...

    async def mark_pushed(self, done: Sequence[Revocation]) -> None:
        """Note that Redis has them."""
        ...

    async def among(self, sessions: Sequence[UUID], users: Mapping[UUID, int]) -> tuple[list[UUID], list[UUID]]:
        """Return which sessions, and which users with tokens issued at a time, are revoked."""
        ...

    async def purge(self) -> int:
        """Delete those that every token has outlived."""
        ...


class RevocationMirror(Protocol):
    """The copy of the revocations that gateways read."""

    async def instance(self) -> str | None:
        """Return what changes when the copy may have been lost; None when it has not all of them."""
        ...

    async def write(self, revocations: Sequence[Revocation]) -> None:
        """Copy them."""
        ...

    async def complete(self) -> None:
        """Say that all live ones were copied."""
        ...
