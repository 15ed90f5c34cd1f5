"""Binding of the queue: to the events of every turn only once there is a webhook."""

import asyncio
from collections.abc import Sequence

import structlog

from parley.errors import DependencyUnavailable
from parley.messaging.bus import Bus, BusDown
from parley_events.models import TurnRedacted
from parley_events.routing import ALL_EVENTS
from webhooks.database import Database

QUEUE = "webhooks.events"
ALWAYS_BOUND = ("user.#", *TurnRedacted.names)
"""Events that the service itself follows."""
READ_TIMEOUT = 3.0
"""Seconds of a consumer's start after which it binds all events without knowing whether there is a webhook."""

_HAS_WEBHOOKS = "SELECT EXISTS (SELECT FROM webhooks WHERE status <> 'disabled')"

log = structlog.get_logger()


class EventBinding:
    """Keeps this rule: while there is a webhook that is not disabled, the queue is bound to all events.

    An installation without webhooks then has no cost for the events of its turns. The binding stays when the last
    webhook is deleted: to remove it safely, every replica would have to agree.
    """

    def __init__(self, bus: Bus, database: Database) -> None:
        self._bus, self._database = bus, database

    async def at_start(self) -> Sequence[str]:
        """Return what to bind besides ``ALWAYS_BOUND`` when the queue is declared; all events if in doubt."""
        try:
            async with asyncio.timeout(READ_TIMEOUT):
                has_webhooks = await self._has_webhooks()
        except (DependencyUnavailable, TimeoutError) as error:
            log.warning("all_events_bound", reason=type(error).__name__)
            has_webhooks = True
        return (ALL_EVENTS,) if has_webhooks else ()

    async def ensure(self) -> None:
        """Bind the queue before a webhook is stored or activated. Raise ``DependencyUnavailable`` if that fails."""
        if await self._has_webhooks():
            return
        try:
            await self._bus.bind(QUEUE, ALL_EVENTS)
        except BusDown as error:
            raise DependencyUnavailable("The message broker is unavailable.") from error

    async def _has_webhooks(self) -> bool:
        return bool(await self._database.value(_HAS_WEBHOOKS))
