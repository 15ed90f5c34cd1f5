"""Counts by client, such as a user."""

import contextlib
from collections import Counter
from collections.abc import Hashable, Iterator


class ClientCounts:
    """How much each client has of something, such as slots or bytes. A client that has nothing is forgotten."""

    def __init__(self) -> None:
        self._counts = Counter[Hashable]()

    @property
    def total(self) -> int:
        """What all clients have together."""
        return self._counts.total()

    def of(self, client: Hashable) -> int:
        """Return what a client has."""
        return self._counts[client]

    def add(self, client: Hashable, count: int = 1) -> None:
        """Count more of a client."""
        self._counts[client] += count

    def subtract(self, client: Hashable, count: int = 1) -> None:
        """Count less of a client."""
        self._counts[client] -= count
        if not self._counts[client]:
            del self._counts[client]

    @contextlib.contextmanager
    def counted(self, client: Hashable, count: int = 1) -> Iterator[None]:
        """Count more of a client while the context is open."""
        self.add(client, count)
        try:
            yield
        finally:
            self.subtract(client, count)
