"""Subscribers on an in-process bus, with handlers that fail as told."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from parley_events import CloudEvent, Subscriber, TurnEnded
from parley_events.testing import InProcessBus, sample

QUEUE = "sub.team.turns"
Fail = Callable[[CloudEvent], Exception | None]


class Recorder:
    """A handler that fails as told, and records the key and sequence of each event that it has handled."""

    def __init__(self, fail: Fail | None = None) -> None:
        self.fail = fail
        self.handled: list[tuple[str, int]] = []
        self.attempts: list[tuple[str, int, float]] = []

    async def __call__(self, _turn: TurnEnded, event: CloudEvent) -> None:
        self.attempts.append((event.partition_key, event.sequence, asyncio.get_running_loop().time()))
        error = self.fail(event) if self.fail is not None else None
        if error is not None:
            raise error
        self.handled.append((event.partition_key, event.sequence))

    def of(self, key: str) -> list[int]:
        return [sequence for name, sequence in self.handled if name == key]


def subscriber_of(bus: InProcessBus, handler: Callable[..., Awaitable[None]], **options: Any) -> Subscriber:
    subscriber = Subscriber("amqp://broker/", QUEUE, connect=bus.connect, **options)
    subscriber.on(TurnEnded)(handler)
    return subscriber


def turn(key: str, sequence: int) -> CloudEvent:
    return sample(TurnEnded, key=key, sequence=sequence)
