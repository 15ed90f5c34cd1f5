"""The part of aio-pika's interface that a subscriber uses, on top of in-process queues."""

import asyncio
import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from aio_pika.exceptions import ChannelInvalidStateError, ChannelNotFoundEntity, DeliveryError

from parley_events.cloudevents import OFFSET_HEADER
from parley_events.routing import matches
from parley_events.testing.broker import Consumer, Deliver, MessageLog, MessageQueue, StoredMessage, Tasks

_tags = itertools.count(1)


class Unroutable(DeliveryError):
    """No queue takes a message."""

    def __init__(self) -> None:
        Exception.__init__(self)

    def __str__(self) -> str:
        return "NO_ROUTE"


class Exchanges:
    """The exchanges and queues of a broker."""

    def __init__(self) -> None:
        self.queues: dict[str, MessageQueue] = {}
        self.bindings: list[tuple[str, str, str]] = []
        self.tasks = Tasks()

    def declare(self, name: str, arguments: dict[str, Any]) -> MessageQueue:
        """Return a queue; make it if it does not exist."""
        return self.queues.setdefault(name, MessageQueue(name, arguments))

    def bind(self, queue: str, exchange: str, key: str) -> None:
        """Bind a queue, once."""
        if (queue, exchange, key) not in self.bindings:
            self.bindings.append((queue, exchange, key))

    def publish(self, exchange: str, key: str, body: bytes, headers: dict[str, Any]) -> bool:
        """Store a message in each bound queue; return whether there is one."""
        names = {queue for queue, bound, binding in self.bindings if bound == exchange and matches(binding, key)}
        found = [self.queues[name] for name in sorted(names) if name in self.queues]
        for queue in found:
            queue.put(body, dict(headers))
        return bool(found)

    def delete(self, name: str) -> None:
        """Delete a queue with its messages, and cancel its consumers as a broker does."""
        queue = self.queues.pop(name, None)
        if queue is None:
            return
        self.bindings = [binding for binding in self.bindings if binding[0] != name]
        for consumer in queue.consumers:
            for callback in tuple(consumer.channel.on_consumer_cancel_callbacks):
                callback(consumer.channel)


class InProcessConnection:
    """A connection."""

    transport = None

    def __init__(self, exchanges: Exchanges) -> None:
        self.exchanges = exchanges
        self.close_callbacks: set[Callable[..., Any]] = set()
        self.channels: list[InProcessChannel] = []

    async def channel(self, **_: object) -> "InProcessChannel":
        """Open a channel."""
        self.channels.append(InProcessChannel(self.exchanges))
        return self.channels[-1]

    async def close(self) -> None:
        """Close the connection and its channels."""
        self.lose()

    def lose(self) -> None:
        """Close the connection as a broker does: unacknowledged messages return."""
        for channel in self.channels:
            channel.lose()
        for callback in tuple(self.close_callbacks):
            callback(self, None)


class InProcessChannel:
    """A channel."""

    def __init__(self, exchanges: Exchanges) -> None:
        self.exchanges = exchanges
        self.is_closed = False
        self.close_callbacks: set[Callable[..., Any]] = set()
        self.on_consumer_cancel_callbacks: set[Callable[..., Any]] = set()
        self.consumers: dict[str, tuple[MessageQueue, Consumer]] = {}
        self.prefetch = 0

    async def get_underlay_channel(self) -> "InProcessChannel":
        return self

    async def set_qos(self, *, prefetch_count: int) -> None:
        self.prefetch = prefetch_count

    async def declare_exchange(self, name: str, _kind: object, *, durable: bool) -> "InProcessExchange":
        assert durable
        return InProcessExchange(name, self)

    async def get_exchange(self, name: str, *, ensure: bool) -> "InProcessExchange":
        del ensure
        return InProcessExchange(name, self)

    async def declare_queue(
        self, name: str, *, durable: bool = True, arguments: dict[str, Any] | None = None, passive: bool = False
    ) -> "InProcessQueue":
        assert durable
        if passive:
            return await self.get_queue(name)
        return InProcessQueue(self.exchanges.declare(name, arguments or {}), self)

    async def get_queue(self, name: str) -> "InProcessQueue":
        if name not in self.exchanges.queues:
            self.lose()
            raise ChannelNotFoundEntity(f"NOT_FOUND - no queue '{name}'")
        return InProcessQueue(self.exchanges.queues[name], self)

    async def basic_consume(self, queue: str, deliver: Deliver) -> SimpleNamespace:
        """Start to consume a queue."""
        return SimpleNamespace(consumer_tag=await (await self.get_queue(queue)).consume(deliver))

    async def basic_ack(self, message: "InProcessMessage", *, multiple: bool, wait: bool) -> None:
        """Acknowledge a message, whose delivery tag is itself."""
        del wait
        await message.ack(multiple)

    async def basic_reject(self, message: "InProcessMessage", *, requeue: bool) -> None:
        """Refuse a message."""
        await message.reject(requeue=requeue)

    async def close(self) -> None:
        self.lose()

    def lose(self) -> None:
        """Close the channel as a broker does."""
        if self.is_closed:
            return
        self.is_closed = True
        for queue, consumer in self.consumers.values():
            queue.unsubscribe(consumer)
        for callback in tuple(self.close_callbacks):
            callback(self, None)

    def hand_over(self, queue: MessageQueue, consumer: Consumer, message: StoredMessage) -> None:
        """Deliver a message."""
        self.exchanges.tasks.start(consumer.deliver(InProcessMessage(queue, consumer, message)))


class InProcessExchange:
    """An exchange."""

    def __init__(self, name: str, channel: InProcessChannel) -> None:
        self.name, self._channel = name, channel

    async def publish(self, message: Any, key: str, *, mandatory: bool = True, timeout: float | None = None) -> None:
        """Publish a message and wait for its confirm. Raise DeliveryError if no queue takes it."""
        del timeout
        if self._channel.is_closed:
            raise ChannelInvalidStateError("closed")
        if not self._channel.exchanges.publish(self.name, key, message.body, message.headers) and mandatory:
            raise Unroutable
        await asyncio.sleep(0)


class InProcessQueue:
    """A queue as a channel sees it."""

    def __init__(self, queue: MessageQueue, channel: InProcessChannel) -> None:
        self.name, self._queue, self._channel = queue.name, queue, channel
        self.declaration_result = SimpleNamespace(message_count=len(queue.ready), consumer_count=len(queue.consumers))

    async def bind(self, exchange: "InProcessExchange | str", key: str) -> None:
        """Bind the queue."""
        name = exchange if isinstance(exchange, str) else exchange.name
        self._channel.exchanges.bind(self.name, name, key)

    async def consume(self, callback: Deliver, *, arguments: dict[str, Any] | None = None) -> str:
        """Start to consume."""
        tag = f"tag-{next(_tags)}"
        consumer = Consumer(self._channel, callback, self._channel.prefetch)
        self._channel.consumers[tag] = (self._queue, consumer)
        self._queue.subscribe(consumer, (arguments or {}).get(OFFSET_HEADER, "next"))
        return tag

    async def cancel(self, tag: str, *, timeout: float | None = None) -> None:
        """Stop deliveries; what is not acknowledged stays with the channel."""
        del timeout
        queue, consumer = self._channel.consumers[tag]
        consumer.prefetch = -1
        queue.deliver()

    async def get(self, *, fail: bool = True, timeout: float | None = None) -> "InProcessMessage | None":
        """Take one message."""
        del fail, timeout
        if not self._queue.ready:
            return None
        consumer = Consumer(self._channel, _ignore, 0)
        message = self._queue.ready.popleft()
        consumer.unacknowledged[message.position] = message
        self._channel.consumers[f"get-{next(_tags)}"] = (self._queue, consumer)
        return InProcessMessage(self._queue, consumer, message)


async def _ignore(_message: object) -> None:
    """Receive nothing: the message was taken, not delivered."""


class InProcessMessage:
    """A delivery."""

    def __init__(self, queue: MessageQueue, consumer: Consumer, message: StoredMessage) -> None:
        self._queue, self._consumer, self._message = queue, consumer, message
        self.body, self.timestamp, self.channel = message.body, message.timestamp, consumer.channel
        self.headers = dict(message.headers)
        if isinstance(queue, MessageLog):
            self.headers[OFFSET_HEADER] = message.position
        self.header = SimpleNamespace(properties=self)
        self.delivery_tag = self

    async def ack(self, multiple: bool = False) -> None:
        """Remove the message from its queue; ``multiple`` also removes the consumer's earlier messages."""
        if self.channel.is_closed:
            raise ChannelInvalidStateError("closed")
        self._queue.settle(self._consumer, self._message, multiple=multiple)
        await asyncio.sleep(0)

    async def reject(self, *, requeue: bool) -> None:
        """Return the message to its queue, or remove it."""
        if requeue:
            self._queue.put_back(self._message)
        self._queue.settle(self._consumer, self._message)
