"""In-process queues with the behaviour of RabbitMQ that a subscriber relies on."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

Deliver = Callable[[Any], Awaitable[Any]]


@dataclass(slots=True)
class StoredMessage:
    """A message in a queue."""

    body: bytes
    headers: dict[str, Any]
    position: int
    timestamp: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(slots=True, eq=False)
class Consumer:
    """A consumer of a queue, and its unacknowledged deliveries by position."""

    channel: Any
    deliver: Deliver
    prefetch: int
    unacknowledged: dict[int, StoredMessage] = field(default_factory=dict)
    next_offset: int = 0

    @property
    def has_room(self) -> bool:
        """Whether the prefetch count allows another delivery."""
        return self.prefetch == 0 or len(self.unacknowledged) < self.prefetch


class MessageQueue:
    """A queue; rejected and unacknowledged messages return to their positions."""

    def __init__(self, name: str, arguments: dict[str, Any]) -> None:
        self.name, self.arguments = name, arguments
        self.ready: deque[StoredMessage] = deque()
        self.consumers: list[Consumer] = []
        self._count = 0

    @property
    def unsettled(self) -> int:
        """Messages that are not acknowledged yet."""
        return len(self.ready) + sum(len(each.unacknowledged) for each in self.consumers)

    def put(self, body: bytes, headers: dict[str, Any]) -> None:
        """Store a message at the end."""
        self.ready.append(StoredMessage(body, headers, self._count))
        self._count += 1
        self.deliver()

    def subscribe(self, consumer: Consumer, _start: object) -> None:
        """Add a consumer."""
        self.consumers.append(consumer)
        self.deliver()

    def unsubscribe(self, consumer: Consumer) -> None:
        """Remove a consumer; its unacknowledged messages return."""
        if consumer in self.consumers:
            self.consumers.remove(consumer)
        self.put_back(*consumer.unacknowledged.values())
        consumer.unacknowledged.clear()
        self.deliver()

    def put_back(self, *messages: StoredMessage) -> None:
        """Return messages to their positions."""
        self.ready = deque(sorted([*messages, *self.ready], key=lambda message: message.position))

    def settle(self, consumer: Consumer, message: StoredMessage, *, multiple: bool = False) -> None:
        """Remove an acknowledged message; ``multiple`` also removes the consumer's earlier messages."""
        earlier = [each for each in consumer.unacknowledged if each < message.position] if multiple else []
        for position in (*earlier, message.position):
            consumer.unacknowledged.pop(position, None)
        self.deliver()

    def deliver(self) -> None:
        """Hand ready messages to the active consumer, or to all in turn."""
        candidates = self.consumers[:1] if self.arguments.get("x-single-active-consumer") else self.consumers
        while self.ready and (free := [each for each in candidates if each.has_room]):
            consumer = min(free, key=lambda each: len(each.unacknowledged))
            message = self.ready.popleft()
            consumer.unacknowledged[message.position] = message
            consumer.channel.hand_over(self, consumer, message)


class MessageLog(MessageQueue):
    """A stream: messages stay, and each consumer has a position of its own."""

    def __init__(self, name: str, arguments: dict[str, Any]) -> None:
        super().__init__(name, arguments)
        self.messages: list[StoredMessage] = []
        self.oldest = 0
        """Offset of the first message."""

    @property
    def end(self) -> int:
        """Offset of the next message."""
        return self.oldest + len(self.messages)

    def put(self, body: bytes, headers: dict[str, Any]) -> None:
        """Append a message."""
        self.messages.append(StoredMessage(body, headers, self.end))
        self.deliver()

    def drop_oldest(self, count: int) -> None:
        """Delete the oldest messages, as the limits of the log do."""
        del self.messages[:count]
        self.oldest += count

    def subscribe(self, consumer: Consumer, start: object) -> None:
        """Add a consumer that begins at an offset, a time, ``first``, ``last`` or ``next``."""
        consumer.next_offset = self._offset_of(start)
        super().subscribe(consumer, start)

    def put_back(self, *messages: StoredMessage) -> None:
        """Keep the position of the consumer: a stream redelivers nothing."""

    def deliver(self) -> None:
        """Hand the messages at each consumer's position to it."""
        for consumer in self.consumers:
            consumer.next_offset = max(consumer.next_offset, self.oldest)
            while consumer.has_room and consumer.next_offset < self.end:
                message = self.messages[consumer.next_offset - self.oldest]
                consumer.next_offset += 1
                consumer.unacknowledged[message.position] = message
                consumer.channel.hand_over(self, consumer, message)

    def _offset_of(self, start: object) -> int:
        if isinstance(start, datetime):
            return self.oldest + sum(message.timestamp < start for message in self.messages)
        named = {"first": self.oldest, "next": self.end, "last": max(self.oldest, self.end - 1)}
        return named[start] if isinstance(start, str) else int(str(start))


class Tasks:
    """Deliveries in progress."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Awaitable[Any]) -> None:
        """Run a delivery."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
