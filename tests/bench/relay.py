"""Rate at which the relay drains a backlog, beside bare aio-pika with confirms on the same broker.

``python tests/bench/relay.py [--rows 25000] [--keys 2000] [--rounds 4]``; exits with 1 below the ratio that must be.
Both publish in turns, so that other work on the machine slows both.
"""

import argparse
import asyncio
import sys

import uvloop
from aio_pika import DeliveryMode, Message, connect
from rates import Rate, combined, environment, stopwatch  # type: ignore[import-not-found]
from verdicts import judge  # type: ignore[import-not-found]

from parley.messaging import outbox
from parley.messaging.outbox.relay import OutboxRelay
from parley.messaging.rabbit_bus import open_rabbit
from parley.observability import logs
from parley.observability.metrics import Metrics
from parley.process.tasks import background
from parley.storage import migrations, postgres
from parley.storage.postgres import Pool
from parley_events.topology import EVENTS_EXCHANGE
from parley_testing.backends.shared_servers import SharedBackends

MIN_RATIO = 0.60
IN_FLIGHT = 64
BODY = b'{"turn_id": "01a200aa-0000-7000-8000-000000000002", "status": "completed", "text": "%s"}' % (b"x" * 1400)
NAME = "conversation.turn.completed"
TIME_LIMIT = 600.0


async def bare(url: str, count: int) -> Rate:
    """Publish persistent, mandatory messages with confirms, with as many in flight as the relay."""
    async with await connect(url, timeout=10) as connection:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        exchange = await channel.get_exchange(EVENTS_EXCHANGE)
        numbers = iter(range(count))

        async def publisher() -> None:
            for _ in numbers:
                message = Message(BODY, content_type="application/json", delivery_mode=DeliveryMode.PERSISTENT)
                await exchange.publish(message, NAME, mandatory=True, timeout=30)

        with stopwatch(count) as found:
            await asyncio.gather(*(publisher() for _ in range(IN_FLIGHT)))
        return found[0]


async def fill(pool: Pool, rows: int, keys: int) -> None:
    await pool.execute(
        "SELECT outbox_append(gen_random_uuid(), $3, 'k' || (n % $2), 'k' || (n % $2), $4::jsonb)"
        " FROM generate_series(1, $1::int) AS n",
        rows,
        keys,
        NAME,
        {"text": BODY.decode("latin-1")},
        timeout=TIME_LIMIT,
    )
    await pool.execute("VACUUM ANALYZE outbox", timeout=TIME_LIMIT)


async def drain(dsn: str, url: str, rows: int, keys: int) -> Rate:
    """Drain a backlog of rows with a relay, as a service does."""
    metrics = Metrics("bench", "0", "-")
    async with (
        postgres.open_pool(dsn, size=2) as pool,
        open_rabbit(url, service="bench", queue_type="classic", metrics=metrics) as bus,
    ):
        await pool.execute("SET statement_timeout = 0")
        await fill(pool, rows, keys)
        relay = OutboxRelay(dsn, bus, source="/services/bench", metrics=metrics)
        with stopwatch(rows) as found:
            async with asyncio.timeout(TIME_LIMIT), background("relay", relay.lead):
                while await pool.fetchval("SELECT EXISTS (SELECT FROM outbox WHERE sent_at IS NULL)"):
                    await asyncio.sleep(0.05)
        return found[0]


async def migrate(dsn: str) -> None:
    await migrations.migrate(dsn, outbox.MIGRATIONS)


async def run(options: argparse.Namespace) -> float:
    """Print the rates of each round; return the ratio over all rounds."""
    bares, relays = [], []
    async with SharedBackends() as backends:
        url = await backends.amqp_url()
        for number in range(1, options.rounds + 1):
            dsn = await backends.fresh_database(migrate, "bench")
            async with open_rabbit(url, service="bench", queue_type="classic", metrics=Metrics("bench", "0", "-")):
                bares.append(await bare(url, options.rows))
            relays.append(await drain(dsn, url, options.rows, options.keys))
            await backends.drop(dsn)
            print(f"round {number}: bare {bares[-1]}, relay {relays[-1]}", flush=True)
    peer, relay = combined(bares), combined(relays)
    print(f"bare {peer}, relay {relay}, of CPU time {peer.cpu / relay.cpu:.2f}")
    return float(relay.rate / peer.rate)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=25_000)
    parser.add_argument("--keys", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()
    logs.configure("warning", "console")
    print(
        f"relay: {options.rows:,} rows of {len(BODY)} bytes in {options.keys:,} keys, {IN_FLIGHT} in flight,"
        f" {environment()}"
    )
    ratio = uvloop.run(run(options))
    return 0 if judge(f"ratio {ratio:.2f}, least {MIN_RATIO:.2f}", met=ratio >= MIN_RATIO) else 1


if __name__ == "__main__":
    sys.exit(main())
