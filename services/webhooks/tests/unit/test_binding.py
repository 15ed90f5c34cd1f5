"""Binding of the queue: when the events of turns arrive, and what an outage changes."""

import asyncio
from typing import Any, cast

import pytest

from parley.errors import DependencyUnavailable, Overloaded
from parley.messaging.bus import BusDown
from parley_events.routing import ALL_EVENTS
from parley_testing.virtual_time import virtual_time
from webhooks.intake.binding import QUEUE, EventBinding


class Surroundings:
    """A database with or without webhooks, and a bus."""

    def __init__(self) -> None:
        self.has_webhooks = self.bus_is_down = False
        self.error: Exception | None = None
        self.is_frozen = False
        self.bound: list[tuple[str, str]] = []
        self.binding = EventBinding(cast("Any", self), cast("Any", self))

    async def value(self, _query: str) -> bool:
        if self.is_frozen:
            await asyncio.Event().wait()
        if self.error:
            raise self.error
        return self.has_webhooks

    async def bind(self, queue: str, routing_key: str) -> None:
        if self.bus_is_down:
            raise BusDown
        self.bound.append((queue, routing_key))


async def test_all_events_are_bound_at_the_start_only_if_there_is_a_webhook() -> None:
    made = Surroundings()
    assert await made.binding.at_start() == ()
    made.has_webhooks = True
    assert await made.binding.at_start() == (ALL_EVENTS,)


@pytest.mark.parametrize("error", [DependencyUnavailable("down"), Overloaded()])
async def test_all_events_are_bound_at_the_start_if_the_database_does_not_say(error: Exception) -> None:
    made = Surroundings()
    made.error = error
    assert await made.binding.at_start() == (ALL_EVENTS,)


@virtual_time
async def test_the_start_of_the_consumer_does_not_wait_for_a_frozen_database() -> None:
    made = Surroundings()
    made.is_frozen = True
    async with asyncio.timeout(5):
        assert await made.binding.at_start() == (ALL_EVENTS,)


async def test_the_first_webhook_binds_all_events_and_the_next_one_needs_no_broker() -> None:
    made = Surroundings()
    await made.binding.ensure()
    assert made.bound == [(QUEUE, ALL_EVENTS)]
    made.has_webhooks = made.bus_is_down = True
    await made.binding.ensure()
    assert len(made.bound) == 1


async def test_the_first_webhook_is_refused_while_the_broker_is_away() -> None:
    made = Surroundings()
    made.bus_is_down = True
    with pytest.raises(DependencyUnavailable, match="broker"):
        await made.binding.ensure()
