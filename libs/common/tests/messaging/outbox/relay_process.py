"""A relay in its own process, which publishes to a file: ``relay_process.py <dsn> <file>``."""

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from parley.messaging.outbox.relay import OutboxRelay
from parley.observability.metrics import Metrics
from parley_events.cloudevents import CloudEvent
from parley_events.subscription import Subscription

CONFIRM_DELAY = 0.002


class FileBus:
    """Appends a line for each event."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    async def publish(self, event: CloudEvent) -> None:
        await asyncio.sleep(CONFIRM_DELAY)
        os.write(self._file, f"{os.getpid()} {event.partition_key} {event.sequence}\n".encode())
        await asyncio.sleep(CONFIRM_DELAY)

    def consume(self, subscription: Subscription) -> AbstractAsyncContextManager[None]:
        raise NotImplementedError

    async def bind(self, queue: str, routing_key: str) -> None:
        raise NotImplementedError

    async def ping(self) -> None:
        pass

    async def waiting(self, queues: Sequence[str]) -> dict[str, int]:
        del queues
        return {}


if __name__ == "__main__":
    bus = FileBus(sys.argv[2])
    relay = OutboxRelay(sys.argv[1], bus, source="/services/test", metrics=Metrics("test", "0", "-"))
    asyncio.run(relay.lead())
