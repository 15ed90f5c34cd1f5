"""Counts by client, such as a user."""

from collections.abc import Hashable


class ClientCounts:
    """How much each client has of something, such as slots or bytes. A client that has nothing is forgotten."""

    def __init__(self) -> None:
        self._counts: dict[Hashable, int] = {}

    @property
    def total(self) -> int:
        """What all clients have together."""
        return sum(self._counts.values())

    def of(self, client: Hashable) -> int:
        """Return what a client has."""
        return self._counts.get(client, 0)

    def add(self, client: Hashable, count: int = 1) -> None:
        """Count more of a client."""
        self._set(client, self.of(client) + count)

    def subtract(self, client: Hashable, count: int = 1) -> None:
        """Count less of a client."""
        self._set(client, self.of(client) - count)

    def _set(self, client: Hashable, count: int) -> None:
        if count:
            self._counts[client] = count
        else:
            self._counts.pop(client, None)

    def counted(self, client: Hashable, count: int = 1) -> "Counted":
        """Return a context in which more of a client is counted."""
        return Counted(self, client, count)


class Counted:
    """A context in which more of a client is counted. A class, because a generator takes three times as long."""

    __slots__ = ("_client", "_count", "_counts")

    def __init__(self, counts: ClientCounts, client: Hashable, count: int) -> None:
        self._counts, self._client, self._count = counts, client, count

    def __enter__(self) -> None:
        self._counts.add(self._client, self._count)

    def __exit__(self, *_error: object) -> None:
        self._counts.subtract(self._client, self._count)
