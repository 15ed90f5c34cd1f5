"""Everything between a turn and its subscribers broken again and again: no event lost, each in order for its key.

``DRILL_TURNS=20000 make event-drill`` is the long form.
"""

import asyncio
import os
import random
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from aiohttp import web

from fake_provider.process import FakeProvider
from parley_events import CloudEvent, Subscriber, TurnEnded, TurnStarted
from parley_events.models import EventData
from parley_testing import eventually
from parley_testing.backends.private_servers import PrivateBackends
from parley_testing.backends.urls import BackendUrls
from parley_testing.faults import processes
from parley_testing.faults.tcp_proxy import TcpProxy, Toxics
from parley_testing.http.client import open_http
from parley_testing.stacks.administrators import make_administrator
from parley_testing.stacks.commands import run_parley
from parley_testing.stacks.separate_processes import SeparateStack
from parley_testing.stacks.service_process import ServiceProcess
from parley_testing.workload.arrivals import Arrivals
from parley_testing.workload.event_recorder import EventRecorder
from parley_testing.workload.talking_user import TalkingUser
from parley_testing.workload.turns import open_users
from webhooks_testing.receiver import open_receiver
from webhooks_testing.turn_webhooks import (
    ORDERED,
    UNORDERED,
    create_turn_webhooks,
    delivery_of,
    receiver_settings,
)

pytestmark = [pytest.mark.e2e, pytest.mark.chaos]

TURNS = int(os.environ.get("DRILL_TURNS", "300"))
TALKERS, TURNS_OF_A_CONVERSATION = 12, 20
FAULTS = {"broker": 5, "history": 5, "webhooks": 5, "postgres": 2, "cut": 2, "slow": 2}
DOWN_FROM, DOWN_TO = 0.3, 0.6
"""Shares of the turns between which the receiver is down."""
MIN_DOWN, MAX_DOWN = 15.0, 120.0
"""Seconds for which it is down at least and at most: less than the retries last."""
SLOW = Toxics(latency=0.2)
SLOW_SECONDS = 5.0
TURN_TIMEOUT = 120.0
SETTLE_TIMEOUT = 240.0
SETTINGS = {
    "DRAIN_TIMEOUT": "6",
    "RECONCILE_INTERVAL": "5",
    "LOG_LEVEL": "warning",
    **receiver_settings(retry_delay=5),
}
Fault = Callable[[], Awaitable[None]]


class DrillSubscriber(EventRecorder):
    """Records the events of each conversation in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.arrivals = Arrivals()
        self.by_key: dict[str, list[tuple[str, str]]] = defaultdict(list)

    async def record(self, data: EventData, event: CloudEvent) -> None:
        """Record a delivery."""
        if event.id not in self.deliveries:
            self.arrivals.note(event.time)
            assert isinstance(data, TurnStarted | TurnEnded)
            self.by_key[event.partition_key].append((event.name, str(data.turn_id)))
        await super().record(data, event)


class DrillInbox:
    """Accepts each event once; answers 503 while it is down."""

    def __init__(self) -> None:
        self.down = False
        self.refused = self.repeated = 0
        self.arrivals = {ORDERED: Arrivals(), UNORDERED: Arrivals()}
        self.by_key: dict[str, dict[str, list[tuple[str, str]]]] = {
            path: defaultdict(list) for path in (ORDERED, UNORDERED)
        }
        self._seen: set[tuple[str, str]] = set()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Take one delivery, once for each `webhook-id`."""
        if self.down:
            self.refused += 1
            return web.Response(status=503)
        delivery = await delivery_of(request)
        seen = (delivery.path, delivery.id)
        if seen in self._seen:
            self.repeated += 1
            return web.Response(status=204)
        self._seen.add(seen)
        self.arrivals[delivery.path].note(delivery.happened)
        self.by_key[delivery.path][delivery.conversation].append((delivery.name, delivery.turn))
        return web.Response(status=204)


@dataclass(frozen=True, slots=True)
class Drill:
    """A stack whose link to RabbitMQ can be cut."""

    servers: PrivateBackends
    stack: SeparateStack
    link: TcpProxy
    amqp_url: str

    def faults(self) -> dict[str, Fault]:
        """Return each kind of fault; all but `cut` and `slow` assert that a process had ended."""
        (webhooks,), worker, history = self.stack.webhooks, self.stack.workers[0], self.stack.history[0]

        async def kill(*found: ServiceProcess) -> None:
            await asyncio.gather(*(processes.restart(each, port=each.admin_port) for each in found))

        async def cut() -> None:
            # After a restart of the broker, each client connects again when it likes.
            await eventually(lambda: self.link.open_connections > 0)
            self.link.cut()

        async def slow() -> None:
            async with self.link.with_toxics(SLOW):
                await asyncio.sleep(SLOW_SECONDS)

        servers = self.servers
        return {
            "broker": partial(processes.restart, servers.rabbitmq, port=servers.rabbitmq.port),
            "postgres": partial(processes.restart, servers.postgres, port=servers.postgres.port),
            "history": partial(kill, history, worker),
            "webhooks": partial(kill, webhooks),
            "cut": cut,
            "slow": slow,
        }


@pytest.fixture
async def drill(
    own_backends: PrivateBackends, provider: FakeProvider, high_limits: dict[str, str], tmp_path: Path
) -> AsyncIterator[Drill]:
    urls, port = own_backends.urls, own_backends.rabbitmq.port
    async with TcpProxy("127.0.0.1", port) as link:
        amqp = urls.amqp_url.replace(f":{port}/", f":{link.port}/")
        proxied = BackendUrls(urls.database_admin_url, urls.redis_url, amqp)
        async with SeparateStack(tmp_path, proxied, provider.base_url, settings=high_limits | SETTINGS) as stack:
            yield Drill(own_backends, stack, link, amqp)


def taken(talkers: Iterable[TalkingUser]) -> int:
    return sum(len(talker.answered) for talker in talkers)


async def talk(talker: TalkingUser, talkers: list[TalkingUser]) -> None:
    while taken(talkers) < TURNS:
        await talker.user.renew()
        await talker.turn()
        if len(talker.answered) % TURNS_OF_A_CONVERSATION == 0:
            talker.conversation = None


async def break_everything(drill: Drill, talkers: list[TalkingUser], moments: random.Random) -> Counter[str]:
    """Do each fault after its share of the turns."""
    faults, done = drill.faults(), Counter[str]()
    order = [name for name, count in FAULTS.items() for _ in range(count)]
    moments.shuffle(order)
    for number, name in enumerate(order, 1):
        while taken(talkers) < TURNS * number // (len(order) + 1):
            await asyncio.sleep(0.05)
        await faults[name]()
        done[name] += 1
    return done


async def take_down(inbox: DrillInbox, talkers: list[TalkingUser]) -> float:
    """Keep the receiver down for its share of the turns; return the seconds."""
    while taken(talkers) < TURNS * DOWN_FROM:
        await asyncio.sleep(0.05)
    inbox.down, began = True, time.monotonic()
    while (seconds := time.monotonic() - began) < MIN_DOWN or (
        seconds < MAX_DOWN and (taken(talkers) < TURNS * DOWN_TO or not inbox.refused)
    ):
        await asyncio.sleep(0.05)
    inbox.down = False
    return seconds


async def nothing_differs(drill: Drill) -> bool:
    _, output = await run_parley("verify", "--settle", "0", settings=drill.stack.settings_of("chat"))
    assert ", 0 wrong, 0 waiting" in output, output
    return True


async def test_no_event_is_lost_and_each_key_is_in_order_whatever_breaks_between_a_turn_and_its_subscribers(
    drill: Drill,
) -> None:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}, {TURNS} turns")
    recorder, inbox = DrillSubscriber(), DrillInbox()
    subscriber = Subscriber(drill.amqp_url, "sub.test.drill")
    subscriber.on(TurnStarted)(recorder.record)
    subscriber.on(TurnEnded)(recorder.record)
    consuming = asyncio.create_task(subscriber.run())
    async with AsyncExitStack() as opened:
        receiver = await opened.enter_async_context(open_receiver())
        receiver.answer = inbox.answer
        users = await opened.enter_async_context(open_users(drill.stack, TALKERS))
        await make_administrator(drill.stack, users[0])
        await create_turn_webhooks(users[0], receiver.url)
        await subscriber.consuming.wait()
        gateway = await opened.enter_async_context(open_http(drill.stack.url))
        talkers = [TalkingUser(user, [gateway], "go on [[fake tokens=2]]", TURN_TIMEOUT) for user in users]
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            broken = group.create_task(break_everything(drill, talkers, random.Random(seed)))
            down = group.create_task(take_down(inbox, talkers))
            for talker in talkers:
                group.create_task(talk(talker, talkers))
        seconds = time.monotonic() - began
        answered = [turn for talker in talkers for turn in talker.answered]
        assert len(set(answered)) == len(answered) >= TURNS
        await eventually(partial(nothing_differs, drill), within=SETTLE_TIMEOUT)
        await recorder.expect(answered, within=SETTLE_TIMEOUT)
        for path in (ORDERED, UNORDERED):
            await eventually(partial(has_the_same, recorder, inbox.by_key[path]), within=SETTLE_TIMEOUT, message=path)
    subscriber.stop()
    await consuming
    print(f"{len(answered)} turns in {seconds:.0f} s, receiver down {down.result():.0f} s, {dict(broken.result())}")
    print(f"subscriber: {recorder.arrivals}, {recorder.duplicates} repeated")
    for path in (ORDERED, UNORDERED):
        print(f"webhook {path}: {inbox.arrivals[path]}")
    print(f"webhooks: {inbox.refused} refused, {inbox.repeated} repeated")
    assert broken.result() == FAULTS
    assert inbox.refused
    assert inbox.by_key[ORDERED] == recorder.by_key


def has_the_same(recorder: DrillSubscriber, arrived: dict[str, list[tuple[str, str]]]) -> bool:
    """Return whether a receiver has each event of the subscriber once, in whatever order."""
    wanted = {key: sorted(events) for key, events in recorder.by_key.items()}
    return {key: sorted(events) for key, events in arrived.items()} == wanted
