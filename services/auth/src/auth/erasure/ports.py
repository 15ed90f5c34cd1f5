"""People who asked to be forgotten."""

from datetime import datetime
from typing import Protocol
from uuid import UUID

from auth.model import (
    Erasure,
    Origin,
)


class Erasures(Protocol):
    """People who asked to be forgotten."""

    async def erase(self, user_id: UUID, erasure_id: str, origin: Origin) -> Erasure | None:
        """Delete an account and everything of it, and ask the other services; raises LastAdmin."""
        ...

    async def find(self, erasure_id: str) -> Erasure | None:
        """Return how far an erasure is."""
        ...

    async def confirm(self, erasure_id: str, service: str, at: datetime) -> None:
        """Note that one service has forgotten the person."""
        ...

    async def ask_again(self, *, after: float) -> int:
        """Publish once more what has been waiting for ``after`` seconds; returns how many."""
        ...
