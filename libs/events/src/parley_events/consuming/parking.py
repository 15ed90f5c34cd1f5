"""Parking: moves events from a subscriber's main queue into its parked queue, where they wait in order."""

import asyncio
from uuid import uuid4

from parley_events.consuming.acknowledgement import Acknowledger
from parley_events.consuming.held_events import HeldEvent
from parley_events.consuming.received_messages import ReceivedMessage
from parley_events.side_queues import COPY, STATE, OwnExchange, failure_headers, own_headers
from parley_events.topology import PARKED

MAX_PARKED = 2000
"""Parked events of one subscriber. When there are more, their deliveries stay unacknowledged and the queue waits."""


class ParkingLot:
    """Stores copies of events in the parked queue, and knows which held event each copy belongs to."""

    def __init__(self, own: OwnExchange, acknowledger: Acknowledger, limit: int = MAX_PARKED) -> None:
        self._own, self._acknowledger, self._limit = own, acknowledger, limit
        self._copies: dict[str, HeldEvent] = {}
        # Copies of one key are stored in order: publishes wait for each other.
        self._lock = asyncio.Lock()
        self.count = 0

    @property
    def is_full(self) -> bool:
        """Whether no further event can be parked."""
        return self.count >= self._limit

    async def park(self, held: HeldEvent, state: str) -> bool:
        """Store a copy of an event and acknowledge its earlier messages; return False if the lot is full."""
        async with self._lock:
            if held.is_settled or held.is_lost:
                return True
            if held.is_parked and state != "dead":
                return True  # a call that held the lock has parked it
            if self.is_full and not held.is_parked:
                return False
            replaced, copies = list(held.messages), held.copies
            await self._store(held, state)
            held.messages = [message for message in held.messages if message not in replaced]
            held.copies -= copies
            self.count -= copies
            self._acknowledger.add(replaced)
            return True

    async def _store(self, held: HeldEvent, state: str) -> None:
        copy = uuid4().hex
        self._copies[copy] = held
        held.expected += 1
        marks = {COPY: copy, STATE: state, **failure_headers(held.attempts, held.first_failed)}
        try:
            await self._own.publish(PARKED, held.event.data, own_headers(held.headers) | marks)
        except BaseException:
            # The copy may be stored although its confirm was lost: it is then taken for another copy of the event.
            if self._copies.pop(copy, None) is not None:
                held.expected -= 1
            raise
        held.copies += 1
        self.count += 1

    def claim(self, message: ReceivedMessage) -> HeldEvent | None:
        """Return the held event of a copy that this process has stored."""
        held = self._copies.pop(str(message.headers.get(COPY)), None)
        if held is not None:
            held.expected -= 1
            held.messages.append(message)
        return held

    def note_found(self, held: HeldEvent) -> None:
        """Count a copy that an earlier process has stored."""
        held.copies += 1
        self.count += 1

    def settle(self, held: HeldEvent) -> None:
        """Acknowledge every message of an event."""
        held.is_settled = True
        self.count -= held.copies
        messages, held.messages, held.copies = held.messages, [], 0
        self._acknowledger.add(messages)

    def reset(self) -> None:
        """Forget all copies after the loss of the channel."""
        self._copies.clear()
        self.count = 0
