"""The in-process bus keeps the contract of subscribers."""

import pytest

from parley_events import CloudEvent
from parley_events.testing import InProcessBus
from parley_testing.contracts.subscriber import SubscriberContract


class InProcessEvents:
    """The in-process bus as the contract suite uses it."""

    url = "amqp://in-process/"
    idle = 0.05

    def __init__(self) -> None:
        self.bus = InProcessBus()
        self.connect = self.bus.connect

    async def publish(self, *events: CloudEvent) -> None:
        await self.bus.publish(*events)

    async def delete_queue(self, queue: str) -> None:
        self.bus.delete_queue(queue)


class TestSubscriberOnTheInProcessBus(SubscriberContract):
    @pytest.fixture
    def broker_of_events(self) -> InProcessEvents:
        return InProcessEvents()
