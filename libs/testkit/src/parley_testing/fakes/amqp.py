"""In-memory fakes of aio-pika's messages, channels, and connections, for unit tests."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import AMQPConnectionError

from parley_events.cloudevents import CloudEvent, to_headers
from parley_events.consuming.received_messages import ReceivedMessage

Consume = Callable[[ReceivedMessage], Awaitable[Any]]


class Callbacks(set[Callable[..., None]]):
    """Callbacks that a test can call."""

    def notify(self, *args: object) -> None:
        """Call all callbacks."""
        for callback in tuple(self):
            callback(*args)


class FakeChannel:
    """A channel with one queue; ``deliver`` delivers a message, and a log is delivered when it is consumed."""

    def __init__(self, connection: "FakeConnection") -> None:
        """Belong to a connection, whose ``errors`` are raised when a queue is declared or looked up."""
        self._connection = connection
        self.name = "fake"
        self.is_closed = False
        self.close_callbacks, self.on_consumer_cancel_callbacks = Callbacks(), Callbacks()
        self.declared: list[tuple[str, dict[str, Any]]] = []
        self.bindings: list[str] = []
        self.prefetch = 0
        self.consume_callback: Consume | None = None
        self.published: list[bytes] = []
        self.delivered: list[FakeMessage] = []
        """Messages of this channel, in the order of delivery."""
        self.acks = 0
        """Number of acknowledgements, each of one message or of several."""

    async def set_qos(self, *, prefetch_count: int) -> None:
        """Answer unless the connection is frozen."""
        if self._connection.is_frozen:
            await asyncio.Event().wait()
        self.prefetch = prefetch_count

    async def get_underlay_channel(self) -> "FakeChannel":
        return self

    async def declare_queue(self, name: str, *, durable: bool, arguments: dict[str, Any]) -> "FakeChannel":
        assert durable
        await self.get_queue(name)
        self.declared.append((name, arguments))
        self._connection.declared.append(name)
        return self

    async def get_queue(self, _name: str) -> "FakeChannel":
        if self._connection.errors:
            raise self._connection.errors.popleft()
        return self

    async def declare_exchange(self, name: str, _kind: object, *, durable: bool) -> None:
        assert durable
        self._connection.declared.append(name)

    async def basic_publish(self, body: bytes, **_options: object) -> None:
        """Publish unless the connection is frozen, or raise its next publish error."""
        if self._connection.is_frozen:
            await asyncio.Event().wait()
        if self._connection.publish_errors:
            raise self._connection.publish_errors.popleft()
        self.published.append(body)

    async def bind(self, _exchange: str, routing_key: str) -> None:
        self.bindings.append(routing_key)

    async def consume(self, callback: Consume, arguments: dict[str, Any] | None = None) -> str:
        """Start to consume, and deliver the log, whatever offset the arguments name."""
        del arguments
        self.consume_callback = callback
        for message in self._connection.log:
            message.outcome = "pending"  # for each consumer of a log
            await callback(message.as_incoming())
        return "tag"

    async def basic_consume(self, _queue: str, callback: Consume) -> SimpleNamespace:
        """Start to consume as ``consume`` does."""
        return SimpleNamespace(consumer_tag=await self.consume(callback))

    async def basic_ack(self, message: "FakeMessage", *, multiple: bool, wait: bool) -> None:
        """Acknowledge a message, whose delivery tag is itself."""
        del wait
        await message.ack(multiple)

    async def basic_reject(self, message: "FakeMessage", *, requeue: bool) -> None:
        """Refuse a message."""
        await message.reject(requeue=requeue)

    async def cancel(self, _tag: str, *, timeout: float) -> None:
        del timeout
        self.consume_callback = None

    async def deliver(self, message: "FakeMessage") -> None:
        """Deliver a message to the consumer."""
        assert self.consume_callback is not None, "nobody consumes"
        await self.consume_callback(message.as_incoming())

    async def close(self) -> None:
        self.lose()

    def lose(self) -> None:
        """Close the channel as a broker does."""
        self.is_closed = True
        self.close_callbacks.notify(self, None)


class FakeConnection:
    """A connection that a test can freeze, block, and lose."""

    def __init__(self, *errors: Exception) -> None:
        """``errors`` are raised by the next declarations of queues, in turn."""
        self.errors = deque(errors)
        self.publish_errors: deque[BaseException] = deque()
        """Errors of the next publishes, in turn."""
        self.declared: list[str] = []
        """Names of the declared exchanges and queues."""
        self.log: list[FakeMessage] = []
        self.close_callbacks = Callbacks()
        self.channels: list[FakeChannel] = []
        self.is_frozen = self.is_blocked = self.is_closed = False
        self.transport = self

    async def ready(self) -> None:
        """Wait while the broker blocks publishers."""
        if self.is_blocked:
            await asyncio.Event().wait()

    async def channel(self, **_options: bool) -> FakeChannel:
        self.channels.append(FakeChannel(self))
        return self.channels[-1]

    async def close(self) -> None:
        """Close, or wait for ever while frozen."""
        if self.is_frozen:
            await asyncio.Event().wait()
        self.is_closed = True

    def lose(self) -> None:
        """Close the connection as a broker does."""
        for channel in self.channels:
            channel.is_closed = True
        self.close_callbacks.notify(self, None)


class FakeBroker:
    """Accepts connections, or refuses them while it is down."""

    def __init__(self) -> None:
        """Start without connections."""
        self.connections: list[FakeConnection] = []
        self.attempts = 0
        self.is_down = False
        self.queue_errors: deque[Exception] = deque()
        """Errors of the next declarations of queues, in turn."""
        self.log: list[FakeMessage] = []
        """Messages that each consumer gets from the start."""

    async def connect(self, _url: str, _name: str) -> AbstractConnection:
        """Return a new connection."""
        self.attempts += 1
        if self.is_down:
            raise AMQPConnectionError("refused")
        connection = FakeConnection()
        connection.errors, connection.log = self.queue_errors, self.log
        self.connections.append(connection)
        return cast("AbstractConnection", connection)


class FakeMessage:
    """A message in binary mode that records how it was acknowledged."""

    def __init__(self, event: CloudEvent, channel: FakeChannel | None = None) -> None:
        """Hold an event; ``channel`` is open unless given."""
        self.headers: dict[str, Any] = dict(to_headers(event))
        self.body = event.data
        self.channel = channel or FakeChannel(FakeConnection())
        self.channel.delivered.append(self)
        self.header = SimpleNamespace(properties=self)
        self.delivery_tag = self
        self.outcome = "pending"
        """``pending``, ``acknowledged``, or ``dead-lettered``."""

    def as_incoming(self) -> ReceivedMessage:
        """Return the message under the type of a received one."""
        return self

    async def ack(self, multiple: bool = False, wait: bool = True) -> None:
        """Acknowledge the message, and with ``multiple`` every earlier one of its channel."""
        del wait
        assert self.outcome == "pending"
        if multiple:
            earlier = self.channel.delivered[: self.channel.delivered.index(self)]
            for message in earlier:
                if message.outcome == "pending":
                    message.outcome = "acknowledged"
        self.channel.acks += 1
        self.outcome = "acknowledged"

    async def reject(self, requeue: bool = False) -> None:
        assert self.outcome == "pending"
        assert not requeue
        self.outcome = "dead-lettered"
