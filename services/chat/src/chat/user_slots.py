"""Slots for work of users that runs at the same time."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from uuid import UUID

from parley.errors import Overloaded


class UserSlots:
    """At most ``total`` slots are taken at once, and at most ``of_user`` by one user."""

    def __init__(self, total: int, of_user: int, refusal: str) -> None:
        self._total, self._of_user, self._refusal = total, of_user, refusal
        self._taken: Counter[UUID] = Counter()

    @contextlib.contextmanager
    def take(self, user_id: UUID) -> Iterator[None]:
        """Hold a slot while the context is open; raises Overloaded with the ``refusal`` if none is free."""
        if self._taken.total() >= self._total or self._taken[user_id] >= self._of_user:
            raise Overloaded(self._refusal)
        self._taken[user_id] += 1
        try:
            yield
        finally:
            self._taken[user_id] -= 1
            if not self._taken[user_id]:
                del self._taken[user_id]
