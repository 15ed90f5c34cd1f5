"""Messages as they are received from a queue.

Building aio-pika's message, and the task in which it calls a consumer, take longer than decoding the event.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from aio_pika.abc import AbstractChannel
from aiormq.abc import DeliveredMessage

from parley_events.consuming.held_messages import HeldMessages


class ReceivedMessage(Protocol):
    """A message that is not acknowledged yet."""

    @property
    def body(self) -> bytes:
        """The body."""
        ...

    @property
    def channel(self) -> Any:
        """The channel on which it was received."""
        ...

    @property
    def headers(self) -> Mapping[str, Any]:
        """The headers."""
        ...

    async def ack(self, multiple: bool = False, wait: bool = True) -> None:
        """Acknowledge the message, and with ``multiple`` every earlier one of its channel.

        ``wait``: return when the acknowledgement is written.
        """
        ...

    async def reject(self, requeue: bool = False) -> None:
        """Refuse the message."""
        ...


class QueueMessage:
    """A message from a queue that ``consume`` consumes."""

    __slots__ = ("_held", "_tag", "body", "channel", "headers")

    def __init__(self, delivered: DeliveredMessage, held: HeldMessages | None) -> None:
        """``held``, if given, counts the message until it is acknowledged or rejected."""
        self.headers: Mapping[str, Any] = delivered.header.properties.headers or {}
        self.body = delivered.body
        self.channel: Any = delivered.channel
        self._tag, self._held = delivered.delivery_tag, held

    async def ack(self, multiple: bool = False, wait: bool = True) -> None:
        """Acknowledge the message, and with ``multiple`` every earlier one of its channel."""
        await self.channel.basic_ack(self._tag, multiple=multiple, wait=wait)
        if self._held is not None:
            self._held.release(self._tag, multiple=multiple)

    async def reject(self, requeue: bool = False) -> None:
        """Refuse the message."""
        await self.channel.basic_reject(self._tag, requeue=requeue)
        if self._held is not None:
            self._held.release(self._tag)


async def consume(
    channel: AbstractChannel,
    queue: str,
    handle: Callable[[ReceivedMessage], Awaitable[None]],
    held: HeldMessages | None = None,
    give_up: Callable[[], None] = lambda: None,
) -> str:
    """Call ``handle`` with each message of a queue; return the consumer tag.

    ``give_up`` is called when ``held`` takes no more messages: the channel has to be closed.
    """

    async def receive(delivered: DeliveredMessage) -> None:
        if held is None or held.take(delivered.delivery_tag, len(delivered.body)):
            await handle(QueueMessage(delivered, held))
        else:
            give_up()

    underlay = await channel.get_underlay_channel()
    started = await underlay.basic_consume(queue, receive)
    return str(started.consumer_tag)
