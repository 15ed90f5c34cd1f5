"""Storage interface of erasure."""

from typing import Protocol

from parley_events.cloudevents import CloudEvent
from parley_events.models import UserErased


class UserDataEraser(Protocol):
    """Deletes the data of erased users."""

    async def erase(self, event: CloudEvent, data: UserErased) -> None:
        """Delete everything of the user, and confirm it through the outbox. Safe to repeat.

        Raises DependencyUnavailable, also after a while if there is more to delete: the next call continues.
        """
        ...
