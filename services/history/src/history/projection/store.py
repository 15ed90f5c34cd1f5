"""Storage interface of the projection."""

from typing import Literal, Protocol

from parley_events.cloudevents import CloudEvent
from parley_events.models import TurnEnded, TurnStarted

ProjectionOutcome = Literal["stored", "unchanged", "usage", "deleted", "erased"]


class ForeignTurn(Exception):
    """The event names a turn or conversation of another user, so it can never be stored."""


class ProjectionStore(Protocol):
    """Stores the content of turn events. Each call is one transaction and is safe to repeat."""

    async def project_turn(self, event: CloudEvent, data: TurnStarted | TurnEnded) -> ProjectionOutcome:
        """Store the event of a turn. Events may arrive in any order. Raises ForeignTurn."""
        ...
