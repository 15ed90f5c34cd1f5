"""Who runs turns."""

from collections.abc import Collection
from typing import Protocol
from uuid import UUID

from chat.model import Turn


class RunnerStore(Protocol):
    """Who runs turns, and whose turns nobody runs any more."""

    async def renew_lease(self, runner_id: UUID, lease: float) -> list[UUID]:
        """Renew a lease for ``lease`` seconds; returns this runner's turns that are to be cancelled."""
        ...

    async def release_lease(self, runner_id: UUID) -> None:
        """End a lease now."""
        ...

    async def take_over(self, runner_id: UUID, running: Collection[UUID], limit: int) -> list[Turn]:
        """Take turns whose runner's lease has ended, and own ones that are not ``running``: their epoch grows."""
        ...

    async def get_turns(self, turn_ids: Collection[UUID]) -> dict[UUID, Turn]:
        """Return turns by id."""
        ...
