"""Rate at which webhooks catch up after their receiver was down for an hour, without waiting for that hour.

``python tests/bench/run.py deliveries [--events 100000] [--keys 500]``; exits with 1 if a delivery is missing,
repeated, or out of order for its key where order was asked for, or if the memory grows with the number of deliveries.
"""

import argparse
import sys
from collections import Counter
from typing import Any

import uvloop
from aiohttp import web
from progress import MAX_GROWTH, MemoryGrowth  # type: ignore[import-not-found]
from rates import Rate, environment, stopwatch  # type: ignore[import-not-found]
from verdicts import judge  # type: ignore[import-not-found]

from parley.ids import new_id
from parley.messaging import outbox
from parley.observability import logs
from parley.storage import migrations
from parley_testing import eventually
from parley_testing.backends.shared_servers import SharedBackends
from parley_testing.security.token_issuer import TestIssuer
from webhooks_testing.app import RunningWebhooks, open_webhooks
from webhooks_testing.receiver import open_receiver

TIME_LIMIT = 900.0
_FILL = """
WITH made AS (
    INSERT INTO events (id, user_id, name, version, partition_key, time, body, received_at)
    SELECT gen_random_uuid(), $3, 'conversation.turn.completed', 1, 'k' || (n % $2), now() - interval '1 hour',
        convert_to(json_build_object('key', n % $2, 'number', n / $2, 'text', repeat('x', 1400))::text, 'UTF8'),
        now() - interval '1 hour' + n * interval '36 ms'
    FROM generate_series(0, $1::int - 1) AS n RETURNING id, partition_key, received_at
)
INSERT INTO deliveries (id, webhook_id, event_id, partition_key, next_attempt_at, created_at)
SELECT gen_random_uuid(), $4, id, partition_key, received_at, received_at FROM made ORDER BY received_at"""


class DeliveryCheck:
    """Counts the deliveries at the receiver, and how many were repeated or out of order for their key."""

    def __init__(self) -> None:
        self.count = self.misplaced = 0
        self._seen: set[str] = set()
        self._last: Counter[int] = Counter()
        self.growth = MemoryGrowth()

    @property
    def repeated(self) -> int:
        """Deliveries of an event that had arrived already."""
        return self.count - len(self._seen)

    async def answer(self, request: web.Request) -> web.Response:
        """Take a delivery."""
        body = await request.json()
        self.misplaced += body["number"] != self._last[body["key"]]
        self._last[body["key"]] = body["number"] + 1
        self.count += 1
        self._seen.add(request.headers["webhook-id"])
        self.growth.count()
        return web.Response(status=204)


async def catch_up(
    webhooks: RunningWebhooks, options: argparse.Namespace, *, ordered: bool
) -> tuple[Rate, DeliveryCheck]:
    """Deliver a backlog to a receiver that works again."""
    arrivals, owner = DeliveryCheck(), webhooks.user()
    async with open_receiver() as receiver:
        receiver.answer = arrivals.answer
        receiver.requests = _NoRequests()
        webhook = await owner.create(receiver.url, "conversation.turn.completed", ordered=ordered)
        pool = webhooks.pool
        await pool.execute("UPDATE webhooks SET status = 'paused' WHERE id = $1", webhook["id"])
        await pool.execute(_FILL, options.events, options.keys, new_id(), webhook["id"], timeout=TIME_LIMIT)
        await pool.execute("ANALYZE", timeout=TIME_LIMIT)
        works_again = "UPDATE webhooks SET status = 'active', failing_since = now() - interval '1 hour' WHERE id = $1"
        with stopwatch(options.events) as found:
            await pool.execute(works_again, webhook["id"])
            await eventually(lambda: arrivals.count >= options.events, within=TIME_LIMIT)
        return found[0], arrivals


class _NoRequests(list[Any]):
    """A list that stays empty, because a receiver keeps its requests otherwise."""

    def append(self, _item: object) -> None:
        """Forget the item."""


async def migrate(dsn: str) -> None:
    await migrations.migrate(dsn, outbox.MIGRATIONS, "webhooks")


async def run(options: argparse.Namespace) -> bool:
    """Print the rates; return whether all is as it must be."""
    verdicts = []
    async with SharedBackends() as backends:
        dsn = await backends.fresh_database(migrate, "webhooks")
        async with open_webhooks(dsn, await backends.redis_url(), TestIssuer()) as webhooks:
            for ordered in (False, True):
                rate, arrivals = await catch_up(webhooks, options, ordered=ordered)
                name = "ordered" if ordered else "unordered"
                print(f"{name}: {rate}, {arrivals.repeated} repeated, {arrivals.misplaced} out of order")
                met = arrivals.count == options.events and not arrivals.repeated
                verdicts += [
                    judge(f"{name}: every delivery once", met=met and not (ordered and arrivals.misplaced)),
                    judge(str(arrivals.growth), met=arrivals.growth.bytes <= MAX_GROWTH),
                ]
        await backends.drop(dsn)
    return all(verdicts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--keys", type=int, default=500)
    options = parser.parse_args()
    logs.configure("warning", "console")
    print(f"deliveries: {options.events:,} in {options.keys:,} keys to one webhook, {environment()}")
    return 0 if uvloop.run(run(options)) else 1


if __name__ == "__main__":
    sys.exit(main())
