"""Dead letters of a subscriber, and the log fields of a failed event."""

import logging

from parley_events.cloudevents import MalformedEvent
from parley_events.connection import OUTAGES
from parley_events.consuming.acknowledgement import send
from parley_events.consuming.clock import Clock
from parley_events.consuming.failure_policy import DeadReason
from parley_events.consuming.held_events import HeldEvent
from parley_events.consuming.received_messages import ReceivedMessage
from parley_events.side_queues import ATTEMPTS, OwnExchange, dead_headers, error_text, own_headers
from parley_events.topology import DEAD

log = logging.getLogger(__name__)


class DeadLetterWriter:
    """Stores dead letters in a subscriber's own queue, with the reason in their headers."""

    def __init__(self, queue: str, own: OwnExchange, clock: Clock) -> None:
        self._queue, self._own, self._clock = queue, own, clock

    async def store(self, held: HeldEvent, reason: DeadReason, error: Exception) -> None:
        """Store an event. Raise an error unless the broker has confirmed it."""
        marks = dead_headers(self._queue, reason, error, self._clock()) | {ATTEMPTS: held.attempts}
        await self._own.publish(DEAD, held.event.data, own_headers(held.headers) | marks)
        log.error("event_dead_lettered", extra={"cause": reason, **describe(self._queue, held, error)})

    async def store_malformed(self, message: ReceivedMessage, error: MalformedEvent) -> bool:
        """Store and acknowledge a message that is no event; return whether the broker has confirmed it."""
        marks = dead_headers(self._queue, "malformed", error, self._clock())
        try:
            await self._own.publish(DEAD, message.body, own_headers(message.headers) | marks)
        except OUTAGES:
            log.warning("message_not_stored", extra={"queue": self._queue})
            return False
        log.error("message_malformed", extra={"queue": self._queue, "reason": str(error)})
        await send(message.ack())
        return True


def describe(queue: str, held: HeldEvent, error: Exception) -> dict[str, object]:
    """Return the log fields of a failed event."""
    event = held.event
    return {
        "queue": queue,
        "type": event.type,
        "id": str(event.id),
        "key": event.partition_key,
        "sequence": event.sequence,
        "offset": event.offset,
        "attempt": held.attempts,
        "reason": type(error).__name__,
        "error": error_text(error),
    }
