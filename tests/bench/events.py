"""Rate at which a subscriber of the kit drains a backlog, beside bare aio-pika on the same broker.

``python tests/bench/events.py [--events 20000] [--keys 500] [--prefetch 100]``; exits with 1 below the least ratio.
"""

import argparse
import asyncio
import json
import sys

import uvloop
from aio_pika import connect
from aio_pika.abc import AbstractIncomingMessage
from rates import Rate, environment, stopwatch  # type: ignore[import-not-found]
from verdicts import judge  # type: ignore[import-not-found]

from parley.messaging.rabbit_bus import open_rabbit
from parley.observability import logs
from parley.observability.metrics import Metrics
from parley_events import CloudEvent, Subscriber, TurnEnded
from parley_events.testing import sample
from parley_testing.backends.shared import SharedBackends

MIN_RATIO = 0.60
BARE_QUEUE, KIT_QUEUE = "bench.events", "sub.bench.events"
TIME_LIMIT = 300.0
IN_FLIGHT = 64


async def drain_bare(url: str, count: int, prefetch: int) -> Rate:
    """Consume, parse and acknowledge with aio-pika alone."""
    done, left = asyncio.Event(), count
    async with await connect(url, timeout=10) as connection:
        channel = await connection.channel(publisher_confirms=False)
        await channel.set_qos(prefetch_count=prefetch)
        queue = await channel.get_queue(BARE_QUEUE)

        async def handle(message: AbstractIncomingMessage) -> None:
            nonlocal left
            json.loads(message.body)
            await message.ack()
            left -= 1
            if not left:
                done.set()

        with stopwatch(count) as found:
            await queue.consume(handle)
            await done.wait()
        return found[0]


async def drain_kit(url: str, count: int, prefetch: int) -> Rate:
    """Consume with the kit: typed data, order within each key."""
    done, left = asyncio.Event(), count
    subscriber = Subscriber(url, KIT_QUEUE, prefetch=prefetch)

    @subscriber.on(TurnEnded)
    async def handle(_turn: TurnEnded, _event: CloudEvent) -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set()

    task = asyncio.create_task(subscriber.run())
    await subscriber.consuming.wait()
    with stopwatch(count) as found:
        await done.wait()
    subscriber.stop()
    await task
    return found[0]


async def fill(url: str, count: int, keys: int) -> None:
    async with await connect(url, timeout=10) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(BARE_QUEUE, durable=True)
        await queue.bind("parley.events", "conversation.turn.*")
    subscriber = Subscriber(url, KIT_QUEUE)
    subscriber.on(TurnEnded)(_ignore)
    task = asyncio.create_task(subscriber.run())
    await subscriber.consuming.wait()
    subscriber.stop()
    await task
    numbers = iter(range(count))
    async with open_rabbit(url, service="bench", queue_type="classic", metrics=Metrics("bench", "0", "-")) as bus:

        async def publisher() -> None:
            for number in numbers:
                await bus.publish(sample(TurnEnded, key=f"k{number % keys}"))

        await asyncio.gather(*(publisher() for _ in range(IN_FLIGHT)))


async def _ignore(_turn: TurnEnded, _event: CloudEvent) -> None:
    """Only declare the queue."""


async def run(options: argparse.Namespace) -> float:
    """Print both rates; return their ratio."""
    async with SharedBackends() as backends, asyncio.timeout(TIME_LIMIT):
        url = await backends.amqp_url()
        async with open_rabbit(url, service="bench", queue_type="classic", metrics=Metrics("bench", "0", "-")):
            await fill(url, options.events, options.keys)
        bare = await drain_bare(url, options.events, options.prefetch)
        kit = await drain_kit(url, options.events, options.prefetch)
    ratio: float = kit.rate / bare.rate
    print(f"bare {bare}, kit {kit}, ratio {ratio:.2f}, of CPU time {bare.cpu / kit.cpu:.2f}")
    return ratio


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--keys", type=int, default=500)
    parser.add_argument("--prefetch", type=int, default=100)
    options = parser.parse_args()
    logs.configure("warning", "console")
    print(f"events: {options.events:,} in {options.keys:,} keys, prefetch {options.prefetch}, {environment()}")
    ratio = uvloop.run(run(options))
    return 0 if judge(f"ratio {ratio:.2f}, least {MIN_RATIO:.2f}", met=ratio >= MIN_RATIO) else 1


if __name__ == "__main__":
    sys.exit(main())
