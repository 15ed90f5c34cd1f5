"""A queue whose messages go to handlers in batches, and handlers that fail as told."""

import asyncio
from collections.abc import Sequence

from parley_events import CloudEvent
from parley_events.consuming.batch_dispatcher import BatchDispatcher
from parley_events.consuming.failure_policy import FailurePolicy
from parley_events.subscription import Batching, Subscription
from parley_testing.contracts.bus import make_event
from parley_testing.fakes.amqp import FakeChannel, FakeConnection, FakeMessage


class Outage(Exception):
    pass


class BatchHandlers:
    """Handles batches and single events, which fail if their keys are listed."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        """Sequences of each batch that was tried."""
        self.prepared: list[int] = []
        self.times: list[float] = []
        self.single: list[int] = []
        self.failing: dict[str, Exception] = {}
        self.left_out: set[str] = set()
        self.not_urgent: set[str] = set()
        self.seconds = 0.0

    def prepare(self, event: CloudEvent) -> None:
        self.prepared.append(event.sequence)

    async def batch(self, events: Sequence[CloudEvent]) -> Sequence[CloudEvent]:
        self.batches.append([event.sequence for event in events])
        self.times.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.seconds)
        for event in events:
            self._fail(event)
        return [event for event in events if event.partition_key in self.left_out]

    async def one(self, event: CloudEvent) -> None:
        self.single.append(event.sequence)
        await asyncio.sleep(self.seconds)
        self._fail(event)

    def is_urgent(self, event: CloudEvent) -> bool:
        return event.partition_key not in self.not_urgent

    def _fail(self, event: CloudEvent) -> None:
        if error := self.failing.get(event.partition_key):
            raise error


class BatchQueue:
    """A dispatcher, and the channel on which its messages arrive."""

    def __init__(self, handlers: BatchHandlers, *, max_events: int = 4, max_bytes: int = 10_000) -> None:
        batching = Batching(
            handlers.batch, max_events, max_bytes, is_urgent=handlers.is_urgent, prepare=handlers.prepare
        )
        subscription = Subscription("q", ("#",), handlers.one, max_attempts=2, batching=batching)
        self.outcomes: list[str] = []
        self.dispatcher = BatchDispatcher(
            subscription,
            batching,
            FailurePolicy((Outage,)),
            on_outcome=lambda outcome, _event: self.outcomes.append(outcome),
        )
        self.channel = FakeChannel(FakeConnection())
        self.messages: list[FakeMessage] = []

    async def deliver(self, *keys: str) -> None:
        for key in keys:
            self.messages.append(FakeMessage(make_event(key=key, sequence=len(self.messages) + 1), self.channel))
            await self.dispatcher.dispatch(self.messages[-1].as_incoming())

    def answers(self) -> list[str]:
        return [message.outcome for message in self.messages]
