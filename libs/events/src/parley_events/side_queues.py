"""Messages in a subscriber's own queues: parked events, dead letters, redriven events, and their headers."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange

from parley_events.cloudevents import CONTENT_TYPE
from parley_events.topology import SubscriberNames

PUBLISH_TIMEOUT = 5.0
MAX_REASON = 500
"""Characters of an error that a dead letter's headers and the log keep."""

BATON = "parley-baton"
"""Marks the message whose holder is the active replica."""
COPY = "parley-copy"
"""The ID of one parked copy of an event."""
STATE = "parley-state"
"""``retry``, ``waiting`` (behind another event of its key) or ``dead`` (a dead letter that keeps its key waiting)."""
ATTEMPTS = "parley-attempts"
FIRST_FAILED_AT = "parley-first-failed-at"
DIED_AT = "parley-died-at"
REASON = "parley-reason"
"""Why an event is a dead letter: ``rejected``, ``deadline`` or ``malformed``."""
ERROR = "parley-error"
REDRIVEN = "parley-redriven"
DROPPED = "parley-dropped"
"""The ID of a dead letter that was dropped: the events of its key wait no longer."""

Headers = dict[str, Any]


class OwnExchange:
    """Publishes into a subscriber's own queues, and returns after the broker's confirm."""

    def __init__(self, names: SubscriberNames) -> None:
        self._names = names
        self._channel: AbstractChannel | None = None
        self._exchange: AbstractExchange | None = None

    async def open(self, connection: AbstractConnection) -> None:
        """Use a new channel of a connection. The exchange exists already."""
        # aio-pika holds a channel only weakly; this reference keeps it alive.
        self._channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        self._exchange = await self._channel.get_exchange(self._names.exchange, ensure=False)

    async def publish(self, key: str, body: bytes, headers: Mapping[str, Any]) -> None:
        """Publish a message. Raise an error of ``OUTAGES`` unless a queue has stored it."""
        if self._exchange is None:
            raise ConnectionError("The exchange is not open.")
        message = Message(body, headers=dict(headers), content_type=CONTENT_TYPE, delivery_mode=DeliveryMode.PERSISTENT)
        async with asyncio.timeout(PUBLISH_TIMEOUT):
            await self._exchange.publish(message, key, mandatory=True, timeout=PUBLISH_TIMEOUT)


def own_headers(headers: Mapping[str, Any]) -> Headers:
    """Return the headers of an event without those that the broker or an earlier parking added."""
    return {name: value for name, value in headers.items() if name.startswith("ce-")}


def failure_headers(attempts: int, first_failed: float) -> Headers:
    """Return the headers with which the back-off and the deadline survive a restart."""
    if not first_failed:
        return {}
    return {ATTEMPTS: attempts, FIRST_FAILED_AT: datetime.fromtimestamp(first_failed, UTC).isoformat()}


def first_failure(headers: Mapping[str, Any]) -> tuple[int, float]:
    """Return the attempts and the time of the first failure from the headers; zeros if there was none."""
    try:
        return int(headers[ATTEMPTS]), datetime.fromisoformat(str(headers[FIRST_FAILED_AT])).timestamp()
    except (KeyError, ValueError, TypeError):
        return 0, 0.0


def error_text(error: Exception) -> str:
    """Return the type and text of an error, shortened."""
    return f"{type(error).__name__}: {error}"[:MAX_REASON]


def dead_headers(queue: str, reason: str, error: Exception, died: float) -> Headers:
    """Return the headers that say why an event is a dead letter."""
    return {
        "parley-queue": queue,
        REASON: reason,
        ERROR: error_text(error),
        DIED_AT: datetime.fromtimestamp(died, UTC).isoformat(),
    }
