"""Erasure service: deletes accounts here and tracks the confirmations of the other services."""

import time
from collections.abc import Callable
from uuid import UUID

from auth.audit.model import RequestOrigin
from auth.erasure.model import Erasure
from auth.erasure.store import AccountErasureStore
from auth.revocations.service import RevocationService
from auth.security import secret_tokens
from auth.security.reauthentication import require_recent_login
from parley.errors import NotFound
from parley.security.identity import Principal
from parley_events.cloudevents import CloudEvent
from parley_events.decoding import decode
from parley_events.models import UserErasureConfirmed
from parley_events.subscription import Subscription

QUEUE = "auth.erasures"


class ErasureService:
    """Erases accounts and tracks the progress."""

    def __init__(
        self, erasures: AccountErasureStore, revocations: RevocationService, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._erasures, self._revocations, self._clock = erasures, revocations, clock

    async def erase_self(self, principal: Principal, origin: RequestOrigin) -> Erasure:
        """Erase the account of the caller; raises ReauthenticationRequired if the login is too old, or LastAdmin."""
        require_recent_login(principal, self._clock())
        return await self.erase(principal.user_id, origin)

    async def erase(self, user_id: UUID, origin: RequestOrigin) -> Erasure:
        """Erase an account; raises NotFound or LastAdmin."""
        erasure = await self._erasures.erase(user_id, secret_tokens.new_erasure_id(), origin)
        if erasure is None:
            raise NotFound
        await self._revocations.push()
        return erasure

    async def find(self, erasure_id: str) -> Erasure:
        """Return the progress of an erasure; raises NotFound."""
        found = await self._erasures.find(erasure_id) if erasure_id.isascii() and "\x00" not in erasure_id else None
        if found is None:
            raise NotFound
        return found

    def subscription(self) -> Subscription:
        """Return the subscription to the confirmations of the other services."""
        return Subscription(QUEUE, ("user.erasure_confirmed",), self._confirm)

    async def _confirm(self, event: CloudEvent) -> None:
        data = decode(event)
        if isinstance(data, UserErasureConfirmed):
            await self._erasures.confirm(data.erasure_id, data.service, data.at)
