"""Rate at which one history worker stores a backlog of events, and the CPU time of it and of Postgres for each event.

``python tests/bench/run.py projection [--events 100000] [--messages 100000] [--other COMMAND]``. The events are of
users who have ``--messages`` messages together. ``COMMAND`` is a ``parley-history-worker`` of another version, which is
measured in the same run, on a database of its own with its own schema. Exits with 1 below the rate that must be.
"""

import argparse
import asyncio
import os
import random
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import uvloop
from aio_pika import connect
from aio_pika.exceptions import ChannelNotFoundEntity
from history_data import Generator  # type: ignore[import-not-found]
from history_filling import fill  # type: ignore[import-not-found]
from processes import running  # type: ignore[import-not-found]
from verdicts import judge  # type: ignore[import-not-found]

from history.projection.consumer import QUEUE
from history_testing.turn_events import SampleTurn, as_published
from parley.messaging.bus import Bus, PublishError
from parley.messaging.rabbit_bus import open_rabbit
from parley.observability import logs
from parley.observability.metrics import Metrics
from parley_embedded.sockets import free_port
from parley_events.cloudevents import CloudEvent
from parley_events.topology import queue_depth
from parley_testing import eventually
from parley_testing.backends.shared_servers import SharedBackends
from parley_testing.telemetry.cpu_time import cpu_seconds

MIN_RATE = 1_500
COMMAND = str(Path(sys.executable).with_name("parley-history-worker"))
CONVERSATIONS_AT_ONCE = 200
TURNS_OF_A_CONVERSATION = 10
IN_FLIGHT = 64
POLL_INTERVAL = 0.25
READY_TIMEOUT = 60.0
WARM_UP = 2_000
"""Events that are stored before the measurement starts."""
WORDS = (Path(__file__).parent / "projection.py").read_text().split()
START = datetime(2026, 11, 22, 10, tzinfo=UTC)


def events(count: int, users: Sequence[UUID]) -> Iterator[CloudEvent]:
    """Yield the events of turns in many conversations at once: each turn starts, and ends when others have started.

    The first users have most conversations.
    """
    draw = random.Random(1)
    weights = [1 / (rank + 20) for rank in range(len(users))]

    def text(words: int) -> str:
        return " ".join(draw.choices(WORDS, k=words))

    def first_turn(**members: Any) -> SampleTurn:
        return SampleTurn(draw.choices(users, weights)[0], **members)

    open_turns = [first_turn(question=text(12)) for _ in range(CONVERSATIONS_AT_ONCE)]
    for number in range(count // 2):
        index = number % len(open_turns)
        turn, start = open_turns[index], START + timedelta(seconds=number)
        following = turn.next if turn.number < TURNS_OF_A_CONVERSATION else first_turn
        members: dict[str, Any] = {"answer": text(100), "start": start, "question": text(12)}
        open_turns[index] = following(**members)
        yield as_published(open_turns[index].started())
        yield as_published(open_turns[(index - CONVERSATIONS_AT_ONCE // 4) % len(open_turns)].ended())


async def publish(bus: Bus, waiting: Iterator[CloudEvent]) -> None:
    """Publish each event until the broker confirms it: while it writes much to disk, it may do so late."""
    repeated = 0

    async def publisher() -> None:
        nonlocal repeated
        for event in waiting:
            while not await confirmed(event):
                repeated += 1
                await asyncio.sleep(POLL_INTERVAL)

    async def confirmed(event: CloudEvent) -> bool:
        try:
            await bus.publish(event)
        except PublishError:
            return False
        return True

    await asyncio.gather(*(publisher() for _ in range(IN_FLIGHT)))
    if repeated:
        print(f"  {repeated:,} events were published again, because their confirmation was late")


async def measure(backends: SharedBackends, command: str, options: argparse.Namespace) -> float:
    """Print and return the events per second that one worker stores."""
    amqp, dsn = await backends.fresh_amqp_url(), await backends.fresh_database(leave_empty, "empty")
    urls = {"HISTORY_DATABASE_URL": dsn, "REDIS_URL": await backends.redis_url(), "AMQP_URL": amqp}
    port = free_port()
    settings = {**urls, "ADMIN_PORT": str(port), "LOG_LEVEL": "warning"}
    async with running([command], port, settings, within=READY_TIMEOUT):  # it makes its schema
        await eventually(lambda: is_consumed(amqp), within=READY_TIMEOUT)  # its queue takes the events
    generator = Generator(options.messages)
    if options.messages:
        await fill(dsn, generator)
    metrics = Metrics("bench", "0", "-")
    async with open_rabbit(amqp, service="bench", queue_type="classic", metrics=metrics) as bus:
        await publish(bus, events(options.events, generator.landmarks.users))
    database = await asyncpg.connect(dsn)
    try:
        async with running([command], port, settings) as worker:
            return await observe(database, worker.pid, backends, options.events)
    finally:
        await database.close()
        await backends.drop(dsn)


async def leave_empty(_dsn: str) -> None:
    """Leave the schema to the worker."""


async def is_consumed(amqp: str) -> bool:
    """Return whether the worker has declared and bound its queue, and consumes it."""
    async with await connect(amqp, timeout=10) as connection:
        try:
            return (await queue_depth(connection, QUEUE)).consumers > 0
        except ChannelNotFoundEntity:
            return False


async def observe(database: asyncpg.Connection, worker: int, backends: SharedBackends, count: int) -> float:
    """Measure from the first events until the last."""
    processes = {"worker": worker}
    for name, server in backends._servers.items():
        processes["RabbitMQ" if "rabbitmq" in name else name.capitalize()] = server.child.pid

    async def stored(wanted: int) -> int | None:
        await asyncio.sleep(POLL_INTERVAL)
        found: int = await database.fetchval("SELECT count(*) FROM inbox")
        return found if found >= wanted else None

    first = await eventually(lambda: stored(WARM_UP), within=120)
    began, before = time.perf_counter(), {name: cpu_seconds(pid) for name, pid in processes.items()}
    await eventually(lambda: stored(count), within=1200)
    seconds, rate = time.perf_counter() - began, (count - first) / (time.perf_counter() - began)
    spent = {name: cpu_seconds(pid) - before[name] for name, pid in processes.items()}
    each = ", ".join(f"{name} {value / (count - first) * 1000:.2f}" for name, value in spent.items())
    print(f"  {rate:,.0f} events/s; CPU an event in ms: {each}; {sum(spent.values()) / seconds:.2f} CPUs", flush=True)
    return rate


async def run(options: argparse.Namespace) -> float:
    """Measure each command; return the rate of this version."""
    async with SharedBackends() as backends:
        if options.other:
            print(f"{options.other}:")
            await measure(backends, options.other, options)
        print(f"{COMMAND} of this version:")
        return await measure(backends, COMMAND, options)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--messages", type=int, default=100_000, help="messages in the database before")
    parser.add_argument("--other", help="command of a worker of another version")
    options = parser.parse_args()
    logs.configure("warning", "console")
    sizes = f"a backlog of {options.events:,} events, {options.messages:,} messages"
    print(f"projection: {sizes}, one worker, {os.cpu_count()} CPUs")
    rate = uvloop.run(run(options))
    return 0 if judge(f"{rate:,.0f} events/s, least {MIN_RATE:,}", met=rate >= MIN_RATE) else 1


if __name__ == "__main__":
    sys.exit(main())
