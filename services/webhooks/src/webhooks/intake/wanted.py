"""Events that webhooks want, from a copy of the webhooks that may be some seconds old."""

import time
from collections.abc import Callable, Iterable
from uuid import UUID

from parley_events.routing import matches
from webhooks.database import Database

MAX_COPIED_WEBHOOKS = 10_000
"""Webhooks in the copy. With more, every event counts as wanted."""
REFRESH_INTERVAL = 10.0
"""Seconds after which the copy is replaced, so that deleted webhooks leave it."""
Filters = tuple[str, ...]

_WEBHOOKS = "SELECT user_id, scope, events FROM webhooks WHERE status <> 'disabled' LIMIT $1"


class WantedEvents:
    """Tells which events a webhook wants.

    It decides only how soon an event is handled. Which deliveries are stored is decided by the database, so that an old
    copy loses no event.
    """

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database, self._clock = database, clock
        self._shared: Filters = ("#",)
        """Filters of the webhooks for all users: every event, until the first copy is read."""
        self._own: dict[UUID, Filters] = {}
        self._refreshed_at = float("-inf")

    @property
    def depends_on_users(self) -> bool:
        """Whether there are webhooks that want the events of one user."""
        return bool(self._own)

    def includes(self, name: str, user_id: UUID | None) -> bool:
        """Return whether a webhook wants an event of this name about this user."""
        return _match(self._shared, name) or (user_id is not None and _match(self._own.get(user_id, ()), name))

    async def refresh(self, *, at_once: bool) -> None:
        """Replace the copy if it is ``REFRESH_INTERVAL`` seconds old, or ``at_once``."""
        if not at_once and self._clock() < self._refreshed_at + REFRESH_INTERVAL:
            return
        self._refreshed_at = self._clock()
        rows = await self._database.fetch(_WEBHOOKS, MAX_COPIED_WEBHOOKS + 1)
        if len(rows) > MAX_COPIED_WEBHOOKS:
            self._shared, self._own = ("#",), {}
            return
        own: dict[UUID, Filters] = {}
        for row in rows:
            if row["scope"] == "own":
                own[row["user_id"]] = (*own.get(row["user_id"], ()), *row["events"])
        self._shared = tuple(each for row in rows if row["scope"] == "all" for each in row["events"])
        self._own = own


def _match(filters: Iterable[str], name: str) -> bool:
    return any(matches(each, name) for each in filters)
