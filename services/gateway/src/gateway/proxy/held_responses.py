"""Responses that a service holds in memory until their client has read them: a limit for each user."""

import contextlib
from collections.abc import Sequence
from contextlib import AbstractContextManager

from gateway.http import Header
from gateway.proxy.relaying import MAX_SINGLE_WRITE, is_json
from gateway.request import Caller
from parley.errors import RateLimited
from parley.process.client_counts import ClientCounts

MAX_HELD_BYTES_OF_USER = 67_108_864
"""Bytes of such responses of one user, in one process. A single response may be longer."""
UNKNOWN_LENGTH = 8_388_608
"""Bytes that a response without a length counts, such as an export: its service holds a page of it."""
UNREAD = "Your other responses have not been read. Read them, or close their connections, then try again."


class HeldResponses:
    """Counts what services hold for the users of this process.

    A service makes a JSON response as a whole, and can only drop it when the client has read it. A client that opens
    many and reads none would fill the memory of the service.

    ``require_room`` refuses a request that must not be sent twice before it is forwarded. Its response is always
    relayed: a client whose response was refused would repeat the request, and pay for it twice.
    """

    def __init__(self, *, most: int = MAX_HELD_BYTES_OF_USER) -> None:
        self._most = most
        self._held = ClientCounts()

    def require_room(self, caller: Caller | None) -> None:
        """Raise RateLimited if services hold as much for the user as they may."""
        if caller is not None and self._held.of(caller.user) >= self._most:
            raise _unread()

    def hold(
        self, caller: Caller | None, headers: Sequence[Header], *, repeatable: bool
    ) -> AbstractContextManager[None]:
        """Return a context in which a response is counted.

        Raises RateLimited if the user's clients read too slowly, and the request is ``repeatable``.
        """
        size = held_size(headers)
        if caller is None or size <= MAX_SINGLE_WRITE:
            return contextlib.nullcontext()
        held = self._held.of(caller.user)
        if repeatable and held and held + size > self._most:
            raise _unread()
        return self._held.counted(caller.user, size)


def _unread() -> RateLimited:
    return RateLimited(UNREAD, headers={"Retry-After": "1"})


def held_size(headers: Sequence[Header]) -> int:
    """Return the bytes that the service of a response holds. Files are read from their storage as they are sent."""
    length = next((value for name, value in headers if name == b"content-length"), None)
    if length is None:
        return UNKNOWN_LENGTH
    return int(length) if is_json(headers) else 0
