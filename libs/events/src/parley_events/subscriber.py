r"""Subscriber for services outside of Parley: typed handlers on a durable queue, and replay of the event log.

    subscriber = Subscriber("amqp://team:…@rabbit/", queue="sub.team.answers")

    @subscriber.on(TurnEnded)
    async def store(turn: TurnEnded, event: CloudEvent) -> None: ...

    asyncio.run(subscriber.run())

Events are delivered at least once: deduplicate by ``event.id`` (``parley_events.stores``). `parley events access TEAM`
prints the commands that create the broker user of a team.
"""

import asyncio
import contextlib
import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from parley_events.client_logs import readable_logs
from parley_events.cloudevents import CloudEvent
from parley_events.connection import Connect, SupervisedConnection, connect, split_urls
from parley_events.consuming.clock import Clock
from parley_events.consuming.dispatcher import OutcomeObserver, ignore_outcome
from parley_events.consuming.failure_policy import DeadlinePolicy, ErrorTypes, OnPoison
from parley_events.consuming.handlers import EventHandlers
from parley_events.consuming.subscriber_consumer import SubscriberConsumer
from parley_events.consuming.subscriber_dispatcher import SubscriberDispatcher
from parley_events.gaps import Gap, GapDetector, OnGap, SequenceStore
from parley_events.offsets import End, OffsetStore, OnProgress, Start
from parley_events.replay import LogReplay
from parley_events.routing import ALL_EVENTS
from parley_events.side_queues import OwnExchange, error_text
from parley_events.signals import stop_on_sigterm
from parley_events.subscription import Handler, Subscription
from parley_events.tasks import running
from parley_events.topology import QueueType, SubscriberNames

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

log = logging.getLogger(__name__)

QUEUE_PREFIX = "sub."
MAX_QUEUE_LENGTH = 240
"""Bytes of a queue's name. The queues beside it have a suffix, and RabbitMQ allows 255 bytes."""
MAX_PREFETCH = 65_535


class _GapFilled(Exception):
    """Every missing event of a gap was handled."""


class Subscriber(EventHandlers):
    """Calls typed handlers with events; events without a handler for their type and version are skipped.

    ``queue`` is the name of a durable queue and starts with ``sub.``. Of several replicas, one at a time is active, so
    that the events of one partition key stay in order. Within it, ``workers`` handlers run at the same time, each for
    another key.

    A failed event is tried again with growing delays for ``retry_for`` after its first failure, then it becomes a dead
    letter in the queue ``<queue>.dead``. ``Rejected`` and the ``permanent`` errors make it one at once. ``on_poison``
    says what the later events of its key do then: ``skip`` goes on, ``park`` lets them wait until the dead letter is
    redriven or dropped.

    ``on_gap`` is called before an event that shows that earlier ones of its key were lost; ``refill`` replays them. It
    makes the queue receive every event of Parley, since sequences count all types. ``sequences`` keeps the last
    sequence of each key over restarts. A replay calls it for offsets that the log no longer has.
    """

    def __init__(
        self,
        url: str,
        queue: str,
        *,
        prefetch: int = 32,
        workers: int | None = None,
        retry_for: timedelta | None = timedelta(days=1),
        permanent: ErrorTypes = (),
        on_poison: OnPoison = "skip",
        queue_type: QueueType = "classic",
        on_gap: OnGap | None = None,
        sequences: SequenceStore | None = None,
        on_outcome: OutcomeObserver = ignore_outcome,
        tracer: "Tracer | None" = None,
        connect: Connect = connect,
    ) -> None:
        """``on_outcome`` is called with each attempt's outcome, and ``tracer`` (of OpenTelemetry) records it as a span.

        ``connect`` opens connections: tests use another.
        """
        super().__init__()
        _check_options(url, queue, prefetch, workers)
        self._url, self._queue_type = url, queue_type
        self.queue, self.connect = queue, connect
        self._handler: Handler = self.handle
        if tracer is not None:
            from parley_events.tracing import traced

            self._handler = traced(self.handle, tracer, queue)
        self.clock: Clock | None = None
        """Seconds since 1970; None is the clock of the machine. Tests with virtual time use another."""
        self._prefetch, self._workers = prefetch, workers or prefetch
        self._policy = DeadlinePolicy(retry_for, permanent, on_poison)
        self._gaps, self._on_outcome = GapDetector(on_gap, sequences), on_outcome
        self._on_gap = on_gap
        self._refilling = asyncio.Lock()
        self._stop = asyncio.Event()
        self.consuming = asyncio.Event()
        """Set while events are delivered to this replica."""

    async def run(self) -> None:
        """Consume until cancelled, until ``stop`` is called, or until SIGTERM; running handlers finish first.

        While the broker is unavailable, keep trying to connect.
        """
        bindings = (ALL_EVENTS,) if self._on_gap is not None else self.names()
        subscription = Subscription(self.queue, bindings, self._handler, self._prefetch)
        connection = SupervisedConnection(self._url, name=self.queue, connect=self.connect)
        own = OwnExchange(SubscriberNames(self.queue))
        dispatcher = self._dispatcher(own)
        consumer = SubscriberConsumer(connection, subscription, self._queue_type, own, dispatcher, self.consuming)
        try:
            with readable_logs(), stop_on_sigterm(self._stop):
                async with running(connection.run, consumer.run):
                    try:
                        await self._stop.wait()
                    finally:
                        self.consuming.clear()
                        await consumer.stop()
        finally:
            self._stop.clear()

    def stop(self) -> None:
        """Make ``run`` return after the running handlers have finished. Before ``run``, make the next one return."""
        self._stop.set()

    async def replay(
        self,
        since: Start = "first",
        *,
        until: End = "now",
        idle: float = 2.0,
        on_progress: OnProgress | None = None,
        offsets: OffsetStore | None = None,
    ) -> int:
        """Call the handlers with the events of the log, oldest first; return the offset at which to continue.

        ``since`` and ``until`` are times of publication or offsets; ``until="now"`` is the end that the log has when
        the replay begins. ``offsets`` keeps the position, so that a replay continues after a crash. A handler's
        exception ends the replay; its note names the event's offset.
        """
        replay = LogReplay(
            self._url,
            self.handle,
            connect=self.connect,
            on_progress=on_progress,
            offsets=offsets,
            on_gap=self._on_gap,
            name=self.queue,
        )
        with readable_logs():
            return await replay.run(since, until=until, idle=idle)

    async def refill(self, gap: Gap, *, idle: float = 2.0) -> int:
        """Call the handlers with the lost events that the log still has; return how many are missing for good.

        An event that would be a dead letter at once (``Rejected``, the ``permanent`` errors) is logged, and missing.
        """
        if gap.of_log:
            return gap.size
        wanted, rejected = set(range(gap.first, gap.last + 1)), 0

        async def handle(event: CloudEvent) -> None:
            nonlocal rejected
            if (event.source, event.partition_key) == (gap.source, gap.key) and event.sequence in wanted:
                rejected += not await self._handle_missing(event)
                wanted.discard(event.sequence)
                if not wanted:
                    raise _GapFilled

        since: Start = gap.after - timedelta(hours=1) if gap.after is not None else "first"
        # One at a time: each reads the log.
        async with self._refilling:
            with readable_logs(), contextlib.suppress(_GapFilled):
                await LogReplay(self._url, handle, connect=self.connect).run(since, idle=idle)
        return len(wanted) + rejected

    async def _handle_missing(self, event: CloudEvent) -> bool:
        """Handle an event of a gap; return False if it is rejected, which is no fault of the event behind the gap."""
        try:
            await self.handle(event)
        except Exception as error:
            if self._policy.verdict(error, age=0.0) is None:
                raise
            fields = {"queue": self.queue, "type": event.type, "id": str(event.id), "key": event.partition_key}
            log.error(  # noqa: TRY400 - the text of the error says why
                "event_not_refilled", extra={**fields, "sequence": event.sequence, "error": error_text(error)}
            )
            return False
        return True

    def _dispatcher(self, own: OwnExchange) -> SubscriberDispatcher:
        return SubscriberDispatcher(
            self.queue,
            self._handler,
            self._policy,
            own,
            prefetch=self._prefetch,
            workers=self._workers,
            gaps=self._gaps,
            on_outcome=self._on_outcome,
            clock=self.clock,
        )


def _check_options(url: str, queue: str, prefetch: int, workers: int | None) -> None:
    split_urls(url)
    if not queue.startswith(QUEUE_PREFIX):
        raise ValueError(f"The queue {queue!r} does not start with {QUEUE_PREFIX!r}. Choose another name.")
    if len(queue.encode()) > MAX_QUEUE_LENGTH:
        raise ValueError(f"The name of the queue is longer than {MAX_QUEUE_LENGTH} bytes. Choose a shorter one.")
    if not 1 <= prefetch <= MAX_PREFETCH:
        raise ValueError(f"`prefetch` is {prefetch}. It must be from 1 to {MAX_PREFETCH}.")
    if workers is not None and workers < 1:
        raise ValueError(f"`workers` is {workers}. It must be at least 1, or None for as many as `prefetch`.")
