"""Storage interface of the projection."""

from collections.abc import Sequence
from typing import Literal, Protocol

from history.projection.turn_event import TurnEvent

ProjectionOutcome = Literal["stored", "unchanged", "usage", "deleted", "erased", "foreign", "busy"]
"""What became of an event.

``usage``: only the usage of the turn is stored, because it belongs to no conversation. ``deleted``: the same, because
the conversation was deleted. ``erased``: nothing is stored, because the user was erased. ``foreign``: the turn or the
conversation belongs to another user, so the event can never be stored. ``busy``: not stored, because another
transaction writes for the user.
"""


class ProjectionStore(Protocol):
    """Stores the content of turn events. Each call is one transaction and is safe to repeat."""

    def prepare(self, event: TurnEvent) -> None:
        """Do what can be done before ``project_turns``, while another batch is stored, unless that takes long."""
        ...

    async def project_turns(self, events: Sequence[TurnEvent], *, wait: bool) -> Sequence[ProjectionOutcome]:
        """Store events, which may be in any order, and return their outcomes.

        ``wait`` for other transactions that write for the same users; otherwise their events are ``busy``.
        """
        ...
