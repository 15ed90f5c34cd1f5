"""Processor time of a subscriber of the kit for each event that it missed, beside bare aio-pika, and of a replay.

``python tests/bench/events.py [--events 20000] [--keys 500] [--prefetch 100] [--rounds 4] [--alone]``; exits with 1
above the most processor time, if an event is missing or out of order for its key, or if the memory grows with the
events. Both drain in turns, a part of the events in each round, so that other work on the machine slows both.
``--alone`` leaves bare aio-pika out, as for the 100,000 events of ``make bench-catch-up``.
"""

import argparse
import asyncio
import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import uvloop
from aio_pika import DeliveryMode, Message, connect
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage
from progress import MAX_GROWTH, Countdown, MemoryGrowth  # type: ignore[import-not-found]
from rates import Rate, combined, environment, stopwatch  # type: ignore[import-not-found]
from verdicts import judge  # type: ignore[import-not-found]

from parley.messaging.rabbit_bus import open_rabbit
from parley.observability import logs
from parley.observability.metrics import Metrics
from parley_events import CloudEvent, Subscriber, TurnEnded
from parley_events.cloudevents import to_headers
from parley_events.testing import sample
from parley_events.topology import EVENTS_EXCHANGE, queue_depth
from parley_testing.backends.shared_servers import SharedBackends

MIN_RATIO = 0.60
"""Least CPU time of bare aio-pika for each event, divided by that of the kit. Their rates are not judged, because they
depend on other processes too."""
BARE_QUEUE, KIT_QUEUE = "bench.events", "sub.bench.events"
MIN_RATE = 40.0
"""Events per second below which a run is given up."""
NEW_EVENT_INTERVAL = 0.1


class OrderCheck:
    """Counts the events of a run: each once, in order for its key, in bounded memory."""

    def __init__(self, expected: int) -> None:
        self.countdown, self.growth = Countdown(expected), MemoryGrowth()
        self.misplaced = 0
        self._last: dict[str, int] = {}

    async def handle(self, _turn: TurnEnded, event: CloudEvent) -> None:
        """Take an event."""
        self.misplaced += event.sequence != self._last.get(event.partition_key, 0) + 1
        self._last[event.partition_key] = event.sequence
        self.countdown.count()
        self.growth.count()

    def __str__(self) -> str:
        return f"{self.countdown.left} missing, {self.misplaced} out of order, {self.growth}"


class BareConsumer:
    """Consumes, parses and acknowledges with aio-pika alone."""

    def __init__(self, expected: int) -> None:
        self._countdown = Countdown(expected)

    async def drain(self, url: str, goal: int, prefetch: int) -> Rate:
        """Consume until ``goal`` events are left."""
        self._countdown.aim(goal)
        async with await connect(url, timeout=10) as connection:
            channel = await connection.channel(publisher_confirms=False)
            await channel.set_qos(prefetch_count=prefetch)
            queue = await channel.get_queue(BARE_QUEUE)
            with stopwatch(self._countdown.left - goal) as found:
                await queue.consume(self._handle)
                await self._countdown.reached.wait()
        return found[0]

    async def _handle(self, message: AbstractIncomingMessage) -> None:
        if self._countdown.reached.is_set():  # the others return to the queue when the connection is closed
            return
        json.loads(message.body)
        await message.ack()
        self._countdown.count()


async def drain_kit(url: str, check: OrderCheck, goal: int, prefetch: int) -> Rate:
    """Consume with the kit until ``goal`` events are left; those in hand are handled before it stops."""
    subscriber = Subscriber(url, KIT_QUEUE, prefetch=prefetch)
    subscriber.on(TurnEnded)(check.handle)
    task = asyncio.create_task(subscriber.run())
    await subscriber.consuming.wait()
    with stopwatch(check.countdown.left - goal) as found:
        check.countdown.aim(goal)
        await check.countdown.reached.wait()
    subscriber.stop()
    await task
    return found[0]


async def replay(url: str, check: OrderCheck, since: datetime) -> Rate:
    """Replay everything from the log while new events of other keys are published."""
    subscriber = Subscriber(url, KIT_QUEUE)

    async def handle(turn: TurnEnded, event: CloudEvent) -> None:
        if event.partition_key.startswith("k"):
            await check.handle(turn, event)

    subscriber.on(TurnEnded)(handle)
    publishing = asyncio.create_task(publish_new(url))
    try:
        with stopwatch(check.countdown.left) as found:
            await subscriber.replay(since)
        assert not publishing.done(), "no new events came during the replay"
    finally:
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)
    return found[0]


async def publish_new(url: str) -> None:
    """Publish until cancelled."""
    async with open_rabbit(url, service="bench", queue_type="classic", metrics=Metrics("bench", "0", "-")) as bus:
        while True:
            await bus.publish(sample(TurnEnded, key="new"))
            await asyncio.sleep(NEW_EVENT_INTERVAL)


async def declare_bare(url: str) -> None:
    async with await connect(url, timeout=10) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(BARE_QUEUE, durable=True)
        await queue.bind("parley.events", "conversation.turn.*")


async def fill(url: str, count: int, keys: int) -> None:
    subscriber = Subscriber(url, KIT_QUEUE)
    subscriber.on(TurnEnded)(_ignore)
    task = asyncio.create_task(subscriber.run())
    await subscriber.consuming.wait()
    subscriber.stop()
    await task
    turn = sample(TurnEnded)
    async with await connect(url, timeout=10) as connection:
        # Without confirms, which take most of the time; the drain shows whether an event is missing.
        exchange = await (await connection.channel(publisher_confirms=False)).get_exchange(EVENTS_EXCHANGE)
        for number in range(count):
            event = replace(turn, id=uuid4(), partition_key=f"k{number % keys}", sequence=number // keys + 1)
            message = Message(event.data, headers=dict(to_headers(event)), delivery_mode=DeliveryMode.PERSISTENT)
            await exchange.publish(message, event.routing_key)
        await stored(connection, count)


async def stored(connection: AbstractConnection, count: int) -> None:
    """Wait until the queue of the kit has every event."""
    while (await queue_depth(connection, KIT_QUEUE)).waiting < count:
        await asyncio.sleep(0.5)


async def _ignore(_turn: TurnEnded, _event: CloudEvent) -> None:
    """Only declare the queue."""


async def drain_in_turns(url: str, check: OrderCheck, options: argparse.Namespace) -> tuple[Rate | None, Rate]:
    """Drain a part of both queues in each round; return the rates of bare aio-pika and of the kit."""
    consumer = BareConsumer(options.events)
    bare, kit = [], []
    for number in range(1, options.rounds + 1):
        goal = options.events * (options.rounds - number) // options.rounds
        if not options.alone:
            bare.append(await consumer.drain(url, goal, options.prefetch))
        kit.append(await drain_kit(url, check, goal, options.prefetch))
    return combined(bare) if bare else None, combined(kit)


def compare(bare: Rate, kit: Rate) -> bool:
    """Print the rates side by side; return whether the kit takes little enough processor time."""
    ratio: float = bare.cpu / kit.cpu
    print(f"bare {bare}; the kit has {kit.rate / bare.rate:.2f} of its rate")
    text = f"processor time of bare aio-pika {ratio:.2f} of the kit's, least {MIN_RATIO:.2f}"
    return bool(judge(text, met=ratio >= MIN_RATIO))


async def run(options: argparse.Namespace) -> bool:
    """Print the rates; return whether all is as it must be."""
    async with SharedBackends() as backends, asyncio.timeout(options.events / MIN_RATE + 120):
        url = await backends.amqp_url()
        async with open_rabbit(url, service="bench", queue_type="classic", metrics=Metrics("bench", "0", "-")):
            since = datetime.now(UTC)
            if not options.alone:
                await declare_bare(url)
            await fill(url, options.events, options.keys)
        missed = OrderCheck(options.events)
        bare, kit = await drain_in_turns(url, missed, options)
        print(f"kit {kit}; {missed}", flush=True)
        replayed = OrderCheck(options.events)
        again = await replay(url, replayed, since)
    print(f"replay while new events come {again}; {replayed}")
    complete = all(not each.countdown.left and not each.misplaced for each in (missed, replayed))
    growth = max(missed.growth.bytes, replayed.growth.bytes)
    verdicts = [
        bare is None or compare(bare, kit),
        judge("every event once, in order for its key", met=complete),
        judge(f"memory +{growth / 1e6:.0f} MB, most +{MAX_GROWTH / 1e6:.0f} MB", met=growth <= MAX_GROWTH),
    ]
    return all(verdicts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--keys", type=int, default=500)
    parser.add_argument("--prefetch", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--alone", action="store_true", help="leave bare aio-pika out")
    options = parser.parse_args()
    logs.configure("warning", "console")
    print(f"events: {options.events:,} in {options.keys:,} keys, prefetch {options.prefetch}, {environment()}")
    return 0 if uvloop.run(run(options)) else 1


if __name__ == "__main__":
    sys.exit(main())
