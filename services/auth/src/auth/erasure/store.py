"""Interface of the erasure store."""

from datetime import datetime
from typing import Protocol
from uuid import UUID

from auth.audit.model import RequestOrigin
from auth.erasure.model import Erasure


class AccountErasureStore(Protocol):
    """Stored erasures. Each method is one transaction, events and audit entry included."""

    async def erase(self, user_id: UUID, erasure_id: str, origin: RequestOrigin) -> Erasure | None:
        """Delete an account and publish ``user.erased``; raises LastAdmin. None if there is no account."""
        ...

    async def find(self, erasure_id: str) -> Erasure | None:
        """Return the erasure with its progress."""
        ...

    async def confirm(self, erasure_id: str, service: str, at: datetime) -> None:
        """Store that a service has erased its data; the last confirmation completes the erasure."""
        ...

    async def republish_pending(self, *, after: float, at_most: float) -> int:
        """Publish ``user.erased`` again for erasures that a service has not confirmed; returns how many.

        The interval is ``after`` seconds at first and doubles up to ``at_most`` seconds.
        """
        ...
