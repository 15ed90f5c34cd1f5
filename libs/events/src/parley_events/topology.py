"""Names and arguments of Parley's exchange and queues, as far as consumers need them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractQueue
from aio_pika.exceptions import AMQPChannelError, ChannelNotFoundEntity

EVENTS_EXCHANGE = "parley.events"
EVENT_LOG = "parley.log"
"""The stream from which events can be replayed."""

SETUP_TIMEOUT = 10.0
"""Seconds to open a channel and declare what it needs."""
EXTERNAL_QUEUE_MAX_BYTES = 500_000_000
DELIVERY_LIMIT = 20
"""Deliveries of one message from a quorum queue: more than the attempts of any consumer."""
SIDE_QUEUE_DELIVERY_LIMIT = 1_000_000
"""Parked events are delivered again at every start of the subscriber, for as long as they wait."""

MAIN, PARKED, DEAD, CONTROL = "main", "parked", "dead", "control"
"""Routing keys of a subscriber's own exchange. ``CONTROL`` leads to the parked queue too, of which a subscriber takes
every message: what ends a wait arrives although the main queue waits."""

QueueType: TypeAlias = Literal["classic", "quorum"]
Arguments: TypeAlias = dict[str, Any]


class TopologyError(Exception):
    """The broker refuses a declaration: an existing queue differs, or a permission is missing."""


@dataclass(frozen=True, slots=True)
class SubscriberNames:
    """Names of what one external subscriber declares: its queue, and an exchange and two queues beside it."""

    queue: str

    @property
    def exchange(self) -> str:
        """The direct exchange through which the subscriber publishes into its own queues, and nowhere else."""
        return f"{self.queue}.kit"

    @property
    def parked(self) -> str:
        """The queue of the events that wait for another attempt, or behind a dead letter of their key."""
        return f"{self.queue}.parked"

    @property
    def dead(self) -> str:
        """The queue of the subscriber's dead letters."""
        return f"{self.queue}.dead"


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """Messages of one queue that wait for delivery, and its consumers."""

    queue: str
    waiting: int
    consumers: int


async def queue_depth(connection: AbstractConnection, queue: str) -> QueueDepth:
    """Return the depth of a queue. Raise ``ChannelNotFoundEntity`` if the queue does not exist."""
    channel = await connection.channel(publisher_confirms=False)  # the broker closes it if the queue does not exist
    try:
        result = (await channel.declare_queue(queue, passive=True)).declaration_result
    finally:
        if not channel.is_closed:
            await channel.close()
    return QueueDepth(queue, result.message_count or 0, result.consumer_count or 0)


def external_subscriber_queue_arguments(queue_type: QueueType, queue: str) -> Arguments:
    """Return the arguments of an external subscriber's queue.

    Its size is limited to protect the broker. One consumer at a time is active, which keeps the order of each key over
    all replicas.
    """
    arguments: Arguments = {
        "x-queue-type": queue_type,
        "x-max-length-bytes": EXTERNAL_QUEUE_MAX_BYTES,
        "x-single-active-consumer": True,
    }
    if queue_type == "quorum":
        arguments |= {
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-dead-letter-exchange": SubscriberNames(queue).exchange,
            "x-dead-letter-routing-key": DEAD,
        }
    return arguments


def side_queue_arguments(queue_type: QueueType, *, single_active: bool) -> Arguments:
    """Return the arguments of the parked and the dead queue, which refuse messages when they are full."""
    arguments: Arguments = {
        "x-queue-type": queue_type,
        "x-max-length-bytes": EXTERNAL_QUEUE_MAX_BYTES,
        "x-overflow": "reject-publish",
    }
    if single_active:
        arguments["x-single-active-consumer"] = True
    if queue_type == "quorum":
        arguments["x-delivery-limit"] = SIDE_QUEUE_DELIVERY_LIMIT
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


async def declare_subscriber(
    channel: AbstractChannel, names: SubscriberNames, bindings: Sequence[str], queue_type: QueueType
) -> tuple[AbstractQueue, AbstractQueue]:
    """Declare a subscriber's exchange and queues; return its queue and its parked queue."""
    own = await channel.declare_exchange(names.exchange, ExchangeType.DIRECT, durable=True)
    dead = await channel.declare_queue(
        names.dead, durable=True, arguments=side_queue_arguments(queue_type, single_active=False)
    )
    parked = await channel.declare_queue(
        names.parked, durable=True, arguments=side_queue_arguments(queue_type, single_active=True)
    )
    queue = await declare_queue(
        channel, names.queue, bindings, external_subscriber_queue_arguments(queue_type, names.queue)
    )
    for each, key in ((queue, MAIN), (parked, PARKED), (parked, CONTROL), (dead, DEAD)):
        await each.bind(own, key)
    return queue, parked
