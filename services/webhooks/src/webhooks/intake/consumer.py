"""Event consumer: stores the deliveries of every event, and follows changed users and deletions of items."""

import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from functools import partial
from uuid import UUID

import orjson
from prometheus_client import CollectorRegistry, Counter

from parley.messaging.bus import Bus
from parley.process.loop_steps import run_step
from parley_events.cloudevents import CloudEvent
from parley_events.decoding import decode
from parley_events.models import TurnRedacted, UserChanged, UserErased
from parley_events.subscription import Batching, Rejected, Subscription
from webhooks.deliveries.body import delivery_body
from webhooks.deliveries.model import NewEvent
from webhooks.erasure.postgres import PostgresRedactions, PostgresUserWebhooks
from webhooks.intake.binding import ALWAYS_BOUND, QUEUE, EventBinding
from webhooks.intake.postgres import PostgresIntake
from webhooks.intake.wanted import WantedEvents

PREFETCH = 384
"""Events in hand at most: three batches, so that the next one arrives while one is stored."""


class EventIntake:
    """Handles the events of ``QUEUE``."""

    def __init__(
        self,
        intake: PostgresIntake,
        users: PostgresUserWebhooks,
        redactions: PostgresRedactions,
        wanted: WantedEvents,
        registry: CollectorRegistry,
        *,
        wake: Callable[[], None],
        wake_relay: Callable[[], None],
    ) -> None:
        """``wake`` tells the sender of new deliveries, ``wake_relay`` the outbox relay of new events."""
        self._intake, self._users, self._redactions, self._wanted = intake, users, redactions, wanted
        self._wake, self._wake_relay = wake, wake_relay
        self._stored = Counter("webhooks_deliveries_created_total", "Deliveries of events.", registry=registry)

    async def handle(self, event: CloudEvent) -> None:
        """Store the deliveries of one event; raises Rejected when a retry cannot succeed."""
        data = decode(event)
        if isinstance(data, UserErased):
            await self._users.erase(data)
            self._wake_relay()
        elif isinstance(data, UserChanged):
            await self._users.follow_access(data)
            self._wake_relay()
        await self._take_in([event])
        if isinstance(data, TurnRedacted):
            await self._redactions.apply(event.partition_key, data)

    async def handle_batch(self, events: Sequence[CloudEvent]) -> Sequence[CloudEvent]:
        """Store the deliveries of events in one transaction; return events of users, which do more."""
        simple = [event for event in events if not _is_of_users(event)]
        try:
            matched = await self._take_in(simple)
            await self._redact(simple)
        except Rejected:
            return events
        unforeseen = any(event.id in matched and not self.is_urgent(event) for event in simple)
        await run_step("refresh wanted events", partial(self._wanted.refresh, at_once=unforeseen))
        return [event for event in events if _is_of_users(event)]

    async def _redact(self, events: Sequence[CloudEvent]) -> None:
        """Apply deletions of items, also those whose event no webhook wants."""
        for event in events:
            data = decode(event) if event.name in TurnRedacted.names else None
            if isinstance(data, TurnRedacted):
                await self._redactions.apply(event.partition_key, data)

    def is_urgent(self, event: CloudEvent) -> bool:
        """Return whether the event has to be handled soon: a webhook probably wants it, or it changes webhooks."""
        if _is_of_users(event):
            return True
        try:
            user_id = _user_of(event) if self._wanted.depends_on_users else None
        except Rejected:
            return True
        return self._wanted.includes(event.name, user_id)

    async def _take_in(self, events: Sequence[CloudEvent]) -> Collection[UUID]:
        """Store the deliveries of events; return the ids of the events that webhooks want."""
        if not events:
            return ()
        new = [_new_event(event) for event in events]
        if not any(map(self.is_urgent, events)) and not await self._intake.matches_any(new):
            return ()
        taken = await self._intake.take_in(new)
        if taken.deliveries:
            self._stored.inc(taken.deliveries)
            self._wake()
        return taken.wanted


def _is_of_users(event: CloudEvent) -> bool:
    return event.name.startswith("user.")


def _new_event(event: CloudEvent) -> NewEvent:
    return NewEvent(
        id=event.id,
        user_id=_user_of(event),
        name=event.name,
        version=event.version,
        partition_key=event.partition_key,
        time=event.time,
        body=delivery_body(event.name, event.time, event.data),
    )


def _user_of(event: CloudEvent) -> UUID | None:
    """Return the user whom an event is about."""
    try:
        data = orjson.loads(event.data)
        return UUID(data["user_id"])
    except orjson.JSONDecodeError as error:
        raise Rejected(f"The data of {event.type} {event.id} is not JSON.") from error
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


@contextlib.asynccontextmanager
async def consume_events(bus: Bus, intake: EventIntake, binding: EventBinding) -> AsyncIterator[None]:
    """Consume events for the duration of the context.

    One replica at a time is active: deliveries are stored in the order of each key.
    """
    batching = Batching(intake.handle_batch, is_urgent=intake.is_urgent)
    subscription = Subscription(
        QUEUE,
        ALWAYS_BOUND,
        intake.handle,
        prefetch=PREFETCH,
        batching=batching,
        single_active=True,
        more_bindings=binding.at_start,
    )
    async with bus.consume(subscription):
        yield
