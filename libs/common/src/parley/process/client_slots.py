"""Slots for work of clients that runs or waits at the same time."""

import contextlib
from collections.abc import Hashable, Iterator

from parley.errors import Overloaded
from parley.process.client_counts import ClientCounts


class ClientSlots:
    """At most ``total`` slots are taken at once, and at most ``of_client`` by one client, such as a user."""

    def __init__(self, total: int, of_client: int, refusal: str, *, retry_after: int = 1) -> None:
        """Refuse with the sentence ``refusal`` and the seconds ``retry_after``."""
        self._total, self._of_client = total, of_client
        self._refusal, self._retry_after = refusal, retry_after
        self._taken = ClientCounts()

    @property
    def taken(self) -> int:
        """Slots that are taken."""
        return self._taken.total

    @contextlib.contextmanager
    def take(self, client: Hashable) -> Iterator[None]:
        """Hold a slot while the context is open; raises Overloaded if none is free.

        Work of this process itself has the client None, which may take every slot.
        """
        most = self._total if client is None else self._of_client
        if self._taken.total >= self._total or self._taken.of(client) >= most:
            raise Overloaded(self._refusal, retry_after=self._retry_after)
        with self._taken.counted(client):
            yield
