"""The webhook process killed and a receiver down while turns run: each event arrives, and counts once."""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator
from functools import partial
from itertools import groupby
from typing import Any

import httpx2
import pytest
from aiohttp import web

from parley_testing import eventually
from parley_testing.faults import processes
from parley_testing.http.client import UserClient
from parley_testing.stacks.administrators import make_administrator
from parley_testing.stacks.separate_processes import SeparateStack
from parley_testing.stacks.service_process import ServiceProcess
from parley_testing.workload.turns import AnsweredTurn, open_users, take_turn
from webhooks_testing.receiver import open_receiver
from webhooks_testing.turn_webhooks import (
    ORDERED,
    UNORDERED,
    TurnDelivery,
    create_turn_webhooks,
    delivery_of,
    receiver_settings,
)

pytestmark = [pytest.mark.e2e, pytest.mark.chaos]

KILLS, CONVERSATIONS = 5, 6
DOWN_AFTER, UP_AFTER = 2, 3
"""The receiver is down from the first to the second of these kills."""
TURN = "hook [[fake tokens=5 rate=10]]"
EVENTS = ("conversation.turn.started", "conversation.turn.completed")
RESPONSE_SECONDS = 0.1
"""Time between the acceptance of an event and the response: a kill in it makes a duplicate."""
ARRIVAL_TIMEOUT = 240.0
"""Seconds for the last event: several times the lease of a delivery whose process was killed."""


class ResettingInbox:
    """Accepts events; resets the connection while it is down."""

    def __init__(self) -> None:
        self.down = False
        self.refused = 0
        self.accepted: dict[str, dict[str, list[TurnDelivery]]] = {
            path: defaultdict(list) for path in (ORDERED, UNORDERED)
        }
        """Events by path and conversation, in the order of arrival."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Accept one delivery."""
        if self.down:
            self.refused += 1
            assert request.transport is not None
            request.transport.abort()
            return web.Response(status=503)
        delivery = await delivery_of(request)
        self.accepted[delivery.path][delivery.conversation].append(delivery)
        await asyncio.sleep(RESPONSE_SECONDS)
        return web.Response(status=204)

    @property
    def requests(self) -> int:
        return self.refused + sum(len(found) for paths in self.accepted.values() for found in paths.values())

    def has_more_than(self, requests: int) -> bool:
        return self.requests > requests

    def has_all(self, path: str, expected: set[tuple[str, str]]) -> bool:
        return expected <= {(each.name, each.turn) for each in self.distinct(path)}

    def of_turns(self, path: str, turns: set[str]) -> list[tuple[str, str]]:
        """Return name and turn of each distinct event of these turns, sorted."""
        return sorted((each.name, each.turn) for each in self.distinct(path) if each.turn in turns)

    def distinct(self, path: str) -> set[TurnDelivery]:
        return {arrival for arrivals in self.accepted[path].values() for arrival in arrivals}

    def duplicates(self, path: str) -> int:
        return sum(map(len, self.accepted[path].values())) - len(self.distinct(path))


@pytest.fixture
async def webhooks(private_stack: SeparateStack) -> ServiceProcess:
    """The webhook process, which may send to this machine and retries soon."""
    (process,) = private_stack.webhooks
    process.settings = {**process.settings, **receiver_settings(retry_delay=2)}
    await process.start()
    return process


@pytest.fixture
async def owner(private_stack: SeparateStack) -> AsyncIterator[UserClient]:
    """An administrator, who may create webhooks for all events."""
    async with open_users(private_stack, 1) as (user,):
        await make_administrator(private_stack, user)
        yield user


async def converse(owner: UserClient, ended: asyncio.Event) -> list[AnsweredTurn]:
    """Take one turn after the other in one conversation until ``ended``."""
    turns = [await take_turn(owner, TURN)]
    while not ended.is_set():
        turns.append(await take_turn(owner, TURN, turns[0].conversation))
    return turns


async def kill_all_the_time(webhooks: ServiceProcess, inbox: ResettingInbox, moments: random.Random) -> None:
    """Kill the process while the receiver is up, goes down, and is up again."""
    for number in range(KILLS):
        await eventually(
            partial(inbox.has_more_than, inbox.requests),
            within=ARRIVAL_TIMEOUT,
            message=f"nothing was sent before kill {number}",
        )
        await asyncio.sleep(moments.uniform(0, 1))
        await processes.restart(webhooks, port=webhooks.port)
        inbox.down = DOWN_AFTER <= number + 1 < UP_AFTER


async def unfinished(owner: UserClient, webhook: str) -> list[dict[str, Any]]:
    """Return deliveries of a webhook that have not succeeded."""
    found: list[dict[str, Any]] = []
    for status in ("pending", "failed", "dead"):
        response = await owner.request("GET", f"/api/v1/webhooks/{webhook}/deliveries", params={"status": status})
        assert response.status_code == httpx2.codes.OK, response.text
        found += response.json()["data"]
    return found


async def test_each_event_arrives_once_and_in_order_whatever_ends_the_sender_and_the_receiver(
    private_stack: SeparateStack, webhooks: ServiceProcess, owner: UserClient
) -> None:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    inbox, ended = ResettingInbox(), asyncio.Event()
    async with open_receiver() as receiver:
        receiver.answer = inbox.answer
        ids = await create_turn_webhooks(owner, receiver.url)
        conversing = [asyncio.create_task(converse(owner, ended)) for _ in range(CONVERSATIONS)]
        try:
            await kill_all_the_time(webhooks, inbox, random.Random(seed))
        finally:
            ended.set()
            conversations = await asyncio.gather(*conversing)
        turns = [turn for conversation in conversations for turn in conversation]
        assert {turn.status for turn in turns} == {"completed"}
        expected = {(name, turn.id) for turn in turns for name in EVENTS}

        for path in (ORDERED, UNORDERED):
            await eventually(
                partial(inbox.has_all, path, expected),
                within=ARRIVAL_TIMEOUT,
                message=f"{path}: events of turns did not arrive",
            )
        await owner.renew()
        for webhook in ids:
            await eventually(partial(all_delivered, owner, webhook), within=ARRIVAL_TIMEOUT)

    duplicates = {path: inbox.duplicates(path) for path in (ORDERED, UNORDERED)}
    print(f"{KILLS} kills, {len(expected)} events, {inbox.refused} requests refused, duplicates {duplicates}")
    assert inbox.refused
    for path in (ORDERED, UNORDERED):
        # One id for each event: a receiver that deduplicates by it handles each event once.
        assert inbox.of_turns(path, {turn.id for turn in turns}) == sorted(expected)
    for conversation in conversations:
        arrivals = inbox.accepted[ORDERED][conversation[0].conversation]
        in_order = [(arrival.name, arrival.turn) for arrival, _ in groupby(arrivals)]
        assert in_order == [(name, turn.id) for turn in conversation for name in EVENTS]


async def all_delivered(owner: UserClient, webhook: str) -> bool:
    return not await unfinished(owner, webhook)
