"""Who is told of an event, and what a consumer that stops still does."""

import asyncio
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry

from history.changes.notifier import Changes
from history.conversations.store import Outcome
from history.projection.consumer import Handlers, consumer, outcomes_counter
from parley.messaging.memory_bus import MemoryBus
from parley_events.cloudevents import CloudEvent
from parley_events.models import TurnEnded, TurnStarted, UserErased


class SlowProjection:
    """Stores nothing, when it is let."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.let_go = asyncio.Event()
        self.let_go.set()

    async def project_turn(self, event: CloudEvent, data: TurnStarted | TurnEnded) -> Outcome:
        del event, data
        self.begun.set()
        await self.let_go.wait()
        return "stored"

    async def erase(self, event: CloudEvent, data: UserErased) -> None:
        raise AssertionError((event, data))


def _handlers(projection: SlowProjection, changes: Changes | None = None) -> Handlers:
    outcomes = outcomes_counter(CollectorRegistry())
    return Handlers(projection, changes or Changes(), hint=lambda: None, outcomes=outcomes)


async def test_whoever_waits_for_a_turn_is_woken_when_it_has_ended(turn: Callable[..., Any]) -> None:
    changes, one = Changes(), turn()
    handlers = _handlers(SlowProjection(), changes)
    with changes.watch_turn(one.turn_id) as woken, changes.watch_feed(one.user_id) as news:
        await handlers.handle(one.started())
        assert (woken.is_set(), news.is_set()) == (False, True)
        await handlers.handle(one.ended())
        assert woken.is_set()


async def test_the_consumer_stops_only_when_the_event_in_hand_is_committed(turn: Callable[..., Any]) -> None:
    bus, projection, leave = MemoryBus(), SlowProjection(), asyncio.Event()
    projection.let_go.clear()
    listening = asyncio.Event()

    async def consume() -> None:
        async with consumer(bus, _handlers(projection)):
            listening.set()
            await leave.wait()

    consuming = asyncio.create_task(consume())
    await asyncio.wait_for(listening.wait(), 2)
    publishing = asyncio.create_task(bus.publish(turn().ended()))
    await asyncio.wait_for(projection.begun.wait(), 2)
    leave.set()
    await asyncio.wait({consuming}, timeout=0.1)
    assert not consuming.done()
    projection.let_go.set()
    await asyncio.wait_for(asyncio.gather(consuming, publishing), 2)
