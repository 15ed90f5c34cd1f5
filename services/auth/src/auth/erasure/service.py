"""Forgetting people: here at once, elsewhere as the other services confirm it."""

import time
from collections.abc import Callable
from uuid import UUID

from auth.erasure.ports import Erasures
from auth.model import Erasure, Origin
from auth.revocations.service import Revocations
from auth.security import secret_tokens as tokens
from parley.errors import NotFound, ReauthenticationRequired
from parley.security.identity import Principal
from parley_events.cloudevents import CloudEvent
from parley_events.decoding import decode
from parley_events.models import UserErasureConfirmed
from parley_events.subscription import Subscription

QUEUE = "auth.erasures"
FRESH = 300
"""Seconds since the log-in in which somebody may erase themselves."""
LEEWAY = 5


class ErasureService:
    """Erases accounts and follows what becomes of it."""

    def __init__(self, erasures: Erasures, revocations: Revocations, *, clock: Callable[[], float] = time.time) -> None:
        """Take the store."""
        self._erasures, self._revocations, self._clock = erasures, revocations, clock

    async def erase_self(self, principal: Principal, origin: Origin) -> Erasure:
        """Erase the caller; raises ReauthenticationRequired unless they logged in just now, or LastAdmin."""
        if principal.auth_time is None or self._clock() - principal.auth_time > FRESH + LEEWAY:
            raise ReauthenticationRequired
        return await self.erase(principal.user_id, origin)

    async def erase(self, user_id: UUID, origin: Origin) -> Erasure:
        """Erase an account; raises NotFound or LastAdmin."""
        erasure = await self._erasures.erase(user_id, tokens.new_erasure_id(), origin)
        if erasure is None:
            raise NotFound
        await self._revocations.push()
        return erasure

    async def find(self, erasure_id: str) -> Erasure:
        """Return how far an erasure is; raises NotFound."""
        found = await self._erasures.find(erasure_id) if erasure_id.isascii() and "\x00" not in erasure_id else None
        if found is None:
            raise NotFound
        return found

    def subscription(self) -> Subscription:
        """Return the queue on which the other services confirm."""
        return Subscription(QUEUE, ("user.erasure_confirmed",), self._confirmed)

    async def _confirmed(self, event: CloudEvent) -> None:
        data = decode(event)
        if isinstance(data, UserErasureConfirmed):
            await self._erasures.confirm(data.erasure_id, data.service, data.at)
