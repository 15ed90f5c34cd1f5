"""Dispatcher of an external subscriber: order within a key, attempts until a deadline, parking, and dead letters."""

import asyncio
import contextvars
import logging

from parley_events.cloudevents import CloudEvent, MalformedEvent, from_headers
from parley_events.connection import OUTAGES
from parley_events.consuming.acknowledgement import Acknowledger, send
from parley_events.consuming.clock import Clock, wall_clock
from parley_events.consuming.dead_letter_writer import DeadLetterWriter, describe
from parley_events.consuming.dispatcher import OutcomeObserver, ignore_outcome, without_errors
from parley_events.consuming.failure_policy import HANDLER_TIMEOUT, DeadlinePolicy, DeadReason, HandlerTimeout
from parley_events.consuming.held_events import HeldEvent, HeldLines
from parley_events.consuming.parking import ParkingLot
from parley_events.consuming.received_messages import ReceivedMessage
from parley_events.gaps import GapDetector
from parley_events.side_queues import DROPPED, REDRIVEN, STATE, OwnExchange
from parley_events.subscription import Handler
from parley_events.waiting import at_most

log = logging.getLogger(__name__)

PARK_AFTER = 5.0
"""Seconds for which an event may fail before it leaves the main queue, so that it holds no other event back."""
STORE_RETRY_DELAY = 1.0


class SubscriberDispatcher:
    """Hands events to the handler: those of one key in order, those of ``workers`` keys at the same time.

    A failing event is tried again. If others succeed meanwhile, its key is parked: the event and the later ones of its
    key move to the parked queue, and the main queue goes on. If nothing succeeds, the handler's own dependencies are
    away: the main queue waits, and nothing is lost.
    """

    def __init__(
        self,
        queue: str,
        handler: Handler,
        policy: DeadlinePolicy,
        own: OwnExchange,
        *,
        prefetch: int,
        workers: int,
        gaps: GapDetector,
        on_outcome: OutcomeObserver = ignore_outcome,
        clock: Clock | None = None,
    ) -> None:
        self._queue, self._handler, self._policy = queue, handler, policy
        self._prefetch, self._gaps, self._on_outcome = prefetch, gaps, without_errors(on_outcome)
        self._clock = clock or wall_clock()
        self._dead = DeadLetterWriter(queue, own, self._clock)
        self._workers = asyncio.Semaphore(workers)
        self._lines, self._acknowledger = HeldLines(), Acknowledger()
        self.parking = ParkingLot(own, self._acknowledger)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()
        self._is_active, self._last_success = False, 0.0

    async def dispatch(self, message: ReceivedMessage) -> None:
        """Take a message of the main queue."""
        if DROPPED in message.headers:
            await self._drop(message)
            return
        held = await self._hold(message, is_copy=False)
        if held is not None and (line := self._lines.line(held.event.partition_key)) and line[0].is_parked:
            await self._park_line(held.event.partition_key)

    async def dispatch_parked(self, message: ReceivedMessage) -> None:
        """Take a message of the parked queue: a parked event, or a dead letter that is redriven or dropped."""
        if DROPPED in message.headers or REDRIVEN in message.headers:
            await self.dispatch(message)
        else:
            await self._hold(message, is_copy=True)

    def start(self) -> None:
        """Start to handle events: all parked events are here."""
        self._lines.put_dead_first()
        self._is_active = True
        for key in self._lines.keys_with_events():
            self._work_on(key)

    def reset(self) -> None:
        """Forget the deliveries of a lost channel; running handlers finish."""
        self._is_active = False
        self._lines.lose_all()
        self.parking.reset()

    async def stop(self, timeout: float) -> None:
        """Start no more handlers, and cancel those that still run after ``timeout`` seconds."""
        self._stopping.set()
        for held in self._lines.all():
            held.changed.set()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks.values(), timeout=timeout)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._acknowledger.finish()

    async def _hold(self, message: ReceivedMessage, *, is_copy: bool) -> HeldEvent | None:
        held = self.parking.claim(message) if is_copy else None
        if held is None:
            try:
                event = from_headers(message.headers, message.body)
            except MalformedEvent as error:
                if await self._dead.store_malformed(message, error):
                    self._on_outcome("dead", None)
                return None
            held = self._add(message, event, is_copy=is_copy)
        if held.is_settled:
            self.parking.settle(held)
        return held

    def _add(self, message: ReceivedMessage, event: CloudEvent, *, is_copy: bool) -> HeldEvent:
        held = self._lines.find(event)
        if held is None:
            held = HeldEvent.of(message, event)
            self._lines.append(held)
        else:
            held.messages.append(message)
        if is_copy:
            self.parking.note_found(held)
            held.is_dead = held.is_dead or message.headers.get(STATE) == "dead"
        elif REDRIVEN in message.headers and held.is_dead:
            held.revive()
        elif REDRIVEN in message.headers:
            held.is_redriven = True
        if self._is_active:
            self._work_on(event.partition_key)
        return held

    def _work_on(self, key: str) -> None:
        if key in self._tasks or self._stopping.is_set():
            return
        self._tasks[key] = asyncio.create_task(self._work(key), context=contextvars.Context())

    async def _work(self, key: str) -> None:
        try:
            while not self._stopping.is_set() and (held := self._lines.head(key)) is not None:
                try:
                    await self._settle(held)
                except OUTAGES as error:
                    log.warning("event_not_stored", extra=describe(self._queue, held, error))
                    await self._wait(held, STORE_RETRY_DELAY)
                except Exception:
                    log.exception("event_not_settled", extra={"queue": self._queue, "id": str(held.event.id)})
                    await self._wait(held, STORE_RETRY_DELAY)
        finally:
            del self._tasks[key]

    async def _settle(self, held: HeldEvent) -> None:
        while not held.is_settled and not held.is_lost:
            if held.is_dead:
                await self._wait(held, None)
            elif held.first_failed:
                await self._wait(held, self._policy.delay(self._age(held)))
            if self._stopping.is_set():
                await self._keep_state(held)
                return
            if held.is_open:
                await self._try(held)
        self._lines.remove(held)

    async def _wait(self, held: HeldEvent, seconds: float | None) -> None:
        held.changed.clear()
        if not self._stopping.is_set():
            async with at_most(seconds):
                await held.changed.wait()

    async def _try(self, held: HeldEvent) -> None:
        error = await self._attempt(held.event)
        if error is None:
            self._last_success = self._clock()
            self._on_outcome("handled", held.event)
            self.parking.settle(held)
            return
        held.attempts += 1
        held.first_failed = held.first_failed or self._clock()
        if (reason := self._policy.verdict(error, self._age(held))) is not None:
            await self._bury(held, reason, error)
            return
        self._on_outcome("retried", held.event)
        delay = round(self._policy.delay(self._age(held)), 1)
        log.warning("event_retried", extra={"retry_in_s": delay, **describe(self._queue, held, error)})
        if self._should_park(held):
            log.warning("key_parked", extra=describe(self._queue, held, error))
            await self._park_line(held.event.partition_key)

    async def _attempt(self, event: CloudEvent) -> Exception | None:
        limit: asyncio.Timeout | None = None
        try:
            # Refilling a gap reads the log, which takes as long as it takes, and so does waiting for a worker.
            await self._gaps.check(event)
            async with self._workers, asyncio.timeout(HANDLER_TIMEOUT) as limit:
                await self._handler(event)
                await self._gaps.note_handled(event)
        except Exception as error:  # noqa: BLE001 - the policy decides about every error of a handler
            return HandlerTimeout() if limit is not None and limit.expired() else error
        return None

    def _age(self, held: HeldEvent) -> float:
        return max(0.0, self._clock() - held.first_failed)

    def _should_park(self, held: HeldEvent) -> bool:
        if held.is_parked or self._age(held) < PARK_AFTER:
            return False
        return self._last_success > held.first_failed or self.parking.count < self._prefetch

    async def _park_line(self, key: str) -> None:
        """Park the events of a key in order. Those that do not fit keep their places in the main queue."""
        for held in list(self._lines.line(key)):
            if held.is_parked or held.is_lost:
                continue
            if not await self.parking.park(held, "retry" if held.first_failed else "waiting"):
                log.error("parked_queue_full", extra={"queue": self._queue, "parked": self.parking.count})
                return

    async def _keep_state(self, held: HeldEvent) -> None:
        """Park an event that has failed, so that its back-off and its deadline survive the restart."""
        if held.first_failed and not held.is_parked and not held.is_lost:
            await self._park_line(held.event.partition_key)

    async def _bury(self, held: HeldEvent, reason: DeadReason, error: Exception) -> None:
        is_skipped, held.is_redriven = self._policy.on_poison == "skip", False
        if is_skipped:
            # Before the dead letter: each attempt of a failing sequence store would leave another one.
            await self._gaps.note_handled(held.event)
        await self._dead.store(held, reason, error)
        self._on_outcome("dead", held.event)
        if is_skipped:
            self._gaps.pass_over(held.event)
        if is_skipped and not held.is_redriven:
            self.parking.settle(held)
            return
        if not held.is_redriven:
            await self.parking.park(held, "dead")
        if held.is_redriven:
            held.revive()
            return
        held.is_dead = True
        await self._park_line(held.event.partition_key)

    async def _drop(self, message: ReceivedMessage) -> None:
        for held in list(self._lines.line(str(message.headers.get("ce-partitionkey")))):  # it changes meanwhile
            if str(held.event.id) == message.headers[DROPPED]:
                self.parking.settle(held)
                held.changed.set()
        await send(message.ack())
