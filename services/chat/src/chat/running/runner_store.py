"""Interface of the store of runner leases."""

from collections.abc import Collection
from typing import Protocol
from uuid import UUID

from chat.model import Turn


class RunnerStore(Protocol):
    """Leases of runners, and the turns that runners without a lease left behind.

    Every method raises DependencyUnavailable.
    """

    async def renew_lease(self, runner_id: UUID, lease: float) -> list[UUID]:
        """Renew a lease for ``lease`` seconds; returns the runner's turns with a requested cancellation."""
        ...

    async def release_lease(self, runner_id: UUID) -> None:
        """End a lease now."""
        ...

    async def left_behind(self, runner_id: UUID, owned: Collection[UUID], limit: int) -> list[UUID]:
        """Return turns whose runner's lease has expired, and the runner's own that are not in ``owned``."""
        ...

    async def take_over(self, runner_id: UUID, turn_ids: Collection[UUID]) -> list[Turn]:
        """Assign running turns to the runner and increase their epoch; returns them.

        Turns of another runner are only taken if its lease has expired.
        """
        ...

    async def ended(self, turn_ids: Collection[UUID]) -> dict[UUID, Turn | None]:
        """Return those of the turns that exist by their ID, None for a running one, of which nothing else is read."""
        ...
