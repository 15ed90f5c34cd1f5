"""Requests that wait for the head of their response: a limit for each user."""

import contextlib
from contextlib import AbstractContextManager

from gateway.request import Caller
from parley.errors import RateLimited
from parley.process.client_counts import ClientCounts

USER_SHARE = 4
"""One upstream connection of so many is the most that one user has, unless the plan's burst is larger."""
TOO_MANY = "{} of your requests wait for their response. Wait for one of them, then try again."


class UnansweredRequests:
    """Counts the unanswered requests of each user in this process.

    Each occupies one of the connections to a service, which all users share. Slow ones of one user, such as
    compactions, would occupy all of them: the rate limit counts how many begin, not how many are open.
    """

    def __init__(self, connections: int) -> None:
        """Allow a user a part of the ``connections`` to one address of a service."""
        self._most = max(1, connections // USER_SHARE)
        self._open = ClientCounts()

    def count(self, caller: Caller | None) -> AbstractContextManager[None]:
        """Return a context in which a request is counted; raises RateLimited if the user has too many."""
        if caller is None:
            return contextlib.nullcontext()
        most = max(self._most, caller.limits[0].burst if caller.limits else 0)
        if self._open.of(caller.user) >= most:
            raise RateLimited(TOO_MANY.format(most), headers={"Retry-After": "1"})
        return self._open.counted(caller.user)
