"""Parking: how often the events of a failing key are stored."""

import asyncio

from parley_events.testing import InProcessBus
from parley_testing.subscriber_runs import QUEUE, Recorder, subscriber_of, turn
from parley_testing.virtual_time import virtual_time


@virtual_time
async def test_events_that_arrive_together_behind_a_parked_one_are_stored_once_each() -> None:
    bus = InProcessBus()
    handler = Recorder(lambda event: RuntimeError() if event.sequence == 1 else None)
    async with bus.running(subscriber_of(bus, handler)):
        await bus.publish(turn("a", 1))
        await asyncio.sleep(30)
        before = stored(bus)
        await bus.publish(*(turn("a", number) for number in range(2, 34)))
        await asyncio.sleep(1)
        assert stored(bus) == before + 32
        assert bus.parked(QUEUE) == 33
        handler.fail = None
        await asyncio.sleep(120)
    assert handler.of("a") == list(range(1, 34))


def stored(bus: InProcessBus) -> int:
    """Return the number of messages that the parked queue has ever stored."""
    (consumer,) = bus.exchanges.queues[f"{QUEUE}.parked"].consumers
    return max(consumer.unacknowledged) + 1
