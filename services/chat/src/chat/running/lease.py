"""Lease of a runner: while it holds, no other process takes over the runner's turns."""

import asyncio
import time
from collections.abc import Callable
from uuid import UUID

import structlog

from chat.running.runner_store import RunnerStore
from parley.errors import DependencyUnavailable

log = structlog.get_logger()

RENEWAL_INTERVAL = 1.0
LEASE_LENGTH = 9.0
RENEWAL_TIMEOUT = 3.0


class RunnerLease:
    """The lease of this process, renewed by ``run``."""

    def __init__(
        self,
        store: RunnerStore,
        runner_id: UUID,
        cancel: Callable[[UUID], None],
        *,
        length: float = LEASE_LENGTH,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create a lease that is not held yet; ``cancel`` is called with turns whose cancellation is requested."""
        self._store, self._runner_id, self._cancel = store, runner_id, cancel
        self._length, self._clock = length, clock
        self._until = float("-inf")
        self._unbroken_since: float | None = None

    def held(self) -> bool:
        """Tell whether the lease is valid."""
        return self._clock() < self._until

    def stable(self) -> bool:
        """Tell whether every renewal of the last lease length succeeded.

        Before that, the leases of other runners may have expired because the database was unavailable.
        """
        since = self._unbroken_since
        return since is not None and self.held() and self._clock() - since >= self._length

    async def run(self) -> None:
        """Renew the lease every second until cancelled."""
        while True:
            await self.renew()
            await asyncio.sleep(RENEWAL_INTERVAL)

    async def renew(self) -> None:
        """Renew the lease once and process requested cancellations."""
        began = self._clock()
        try:
            async with asyncio.timeout(RENEWAL_TIMEOUT):
                cancelled = await self._store.renew_lease(self._runner_id, self._length)
        except (DependencyUnavailable, TimeoutError):
            self._unbroken_since = None
            log.warning("lease_renewal_failed")
            return
        except Exception:
            # An unforeseen error must not end the loop: its restart could take longer than the lease.
            self._unbroken_since = None
            log.exception("lease_renewal_failed")
            return
        if self._unbroken_since is None or not self.held():
            self._unbroken_since = began
        self._until = began + self._length
        for turn_id in cancelled:
            self._cancel(turn_id)
