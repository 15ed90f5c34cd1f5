"""Names and arguments of Parley's exchange and queues, as far as consumers need them."""

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from aio_pika.abc import AbstractChannel, AbstractQueue
from aio_pika.exceptions import AMQPChannelError, ChannelNotFoundEntity

EVENTS_EXCHANGE = "parley.events"
EVENT_LOG = "parley.log"
"""The stream from which events can be replayed."""

SETUP_TIMEOUT = 10.0
"""Seconds to open a channel and declare what it needs."""
EXTERNAL_QUEUE_MAX_BYTES = 500_000_000
DELIVERY_LIMIT = 20
"""Deliveries of one message from a quorum queue: more than the attempts of any consumer."""

QueueType: TypeAlias = Literal["classic", "quorum"]
Arguments: TypeAlias = dict[str, Any]


class TopologyError(Exception):
    """The broker refuses a declaration: an existing queue differs, or a permission is missing."""


def external_subscriber_queue_arguments(queue_type: QueueType) -> Arguments:
    """Return the arguments of an external subscriber's queue, whose size is limited to protect the broker."""
    arguments: Arguments = {"x-queue-type": queue_type, "x-max-length-bytes": EXTERNAL_QUEUE_MAX_BYTES}
    if queue_type == "quorum":
        arguments["x-delivery-limit"] = DELIVERY_LIMIT
    return arguments


def topology_error(error: AMQPChannelError) -> Exception:
    """Return a ``TopologyError`` with the broker's reason; "not found" is returned as it is.

    A broker that is starting answers "not found" for queues that it has not recovered yet.
    """
    if isinstance(error, ChannelNotFoundEntity):
        return error
    return TopologyError(
        f"RabbitMQ refused: {error}. Delete the conflicting queue or exchange, or correct the user's permissions."
    )


async def declare_queue(
    channel: AbstractChannel, name: str, bindings: Sequence[str], arguments: Arguments
) -> AbstractQueue:
    """Declare a durable queue and bind it to the events. Bindings that are no longer needed stay."""
    queue = await channel.declare_queue(name, durable=True, arguments=arguments)
    for binding in bindings:
        await queue.bind(EVENTS_EXCHANGE, binding)
    return queue
