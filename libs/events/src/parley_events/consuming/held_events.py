"""Events that the broker has delivered and that are not settled yet, in one line for each partition key."""

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from parley_events.cloudevents import CloudEvent
from parley_events.consuming.received_messages import ReceivedMessage
from parley_events.side_queues import first_failure


@dataclass(slots=True, eq=False)
class HeldEvent:
    """One event, and the messages in the broker that hold it."""

    event: CloudEvent
    headers: Mapping[str, Any]
    messages: list[ReceivedMessage] = field(default_factory=list)
    """Deliveries to acknowledge when the event is settled."""
    attempts: int = 0
    first_failed: float = 0.0
    """Seconds since 1970; 0 if the event has not failed."""
    copies: int = 0
    """Copies in the parked queue."""
    expected: int = 0
    """Copies that the broker has not delivered yet."""
    is_dead: bool = False
    """The event is a dead letter, and the later events of its key wait for it."""
    was_dead: bool = False
    """The dead letter was redriven. Its copy may be stored behind the events that waited for it."""
    is_redriven: bool = False
    """Its dead letter was redriven before the event was known to be one."""
    is_settled: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a dead letter is redriven or dropped, or when its messages are lost."""

    @classmethod
    def of(cls, message: ReceivedMessage, event: CloudEvent) -> "HeldEvent":
        """Return the event of a delivery; an earlier failure is in its headers."""
        attempts, first_failed = first_failure(message.headers)
        return cls(event, message.headers, [message], attempts, first_failed)

    @property
    def is_parked(self) -> bool:
        """Whether the event has left the subscriber's main queue."""
        return self.copies > 0

    @property
    def is_lost(self) -> bool:
        """Whether the connection that delivered the event is gone: the broker delivers it again, maybe elsewhere."""
        return not self.messages and not self.expected

    @property
    def is_open(self) -> bool:
        """Whether another attempt makes sense."""
        return not (self.is_dead or self.is_lost or self.is_settled)

    def revive(self) -> None:
        """Try again from the beginning, after the dead letter was redriven."""
        self.is_dead, self.is_redriven, self.attempts, self.first_failed = False, False, 0, 0.0
        self.was_dead = True
        self.changed.set()

    def lose(self) -> None:
        """Forget all deliveries, which a closed channel can no longer acknowledge."""
        self.messages, self.copies, self.expected = [], 0, 0
        self.changed.set()


class HeldLines:
    """The held events, in one line for each partition key."""

    def __init__(self) -> None:
        self._lines: dict[str, deque[HeldEvent]] = {}

    def line(self, key: str) -> deque[HeldEvent]:
        """Return the line of a key, which may be empty."""
        return self._lines.get(key) or deque()

    def keys_with_events(self) -> list[str]:
        """Return the keys that have events."""
        return list(self._lines)

    def all(self) -> Iterator[HeldEvent]:
        """Yield every held event."""
        for line in self._lines.values():
            yield from line

    def find(self, event: CloudEvent) -> HeldEvent | None:
        """Return the same event, if it is held already."""
        return next((each for each in self.line(event.partition_key) if each.event.id == event.id), None)

    def append(self, held: HeldEvent) -> None:
        """Put an event at the end of its line."""
        self._lines.setdefault(held.event.partition_key, deque()).append(held)

    def head(self, key: str) -> HeldEvent | None:
        """Return the first event of a line; remove a line that is empty."""
        line = self._lines.get(key)
        if line:
            return line[0]
        self._lines.pop(key, None)
        return None

    def remove(self, held: HeldEvent) -> None:
        """Take an event out of its line."""
        line = self._lines.get(held.event.partition_key)
        if line and held in line:
            line.remove(held)

    def put_dead_first(self) -> None:
        """Move dead letters, also redriven ones, to the front: the queue has their copies behind waiting events."""
        for key, line in self._lines.items():
            self._lines[key] = deque(sorted(line, key=lambda held: not (held.is_dead or held.was_dead)))

    def lose_all(self) -> None:
        """Forget all deliveries. Heads stay in their lines, because their handlers may be running."""
        for line in self._lines.values():
            for held in line:
                held.lose()
            while len(line) > 1:
                line.pop()
