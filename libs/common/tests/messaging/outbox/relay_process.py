"""A relay as a process of its own; its bus is a journal: ``relay_process.py <dsn> <journal>``."""

import asyncio
import os
import sys

from parley.messaging.outbox.relay import OutboxRelay
from parley.observability.metrics import Metrics
from parley_events.cloudevents import CloudEvent

CONFIRM_TIME = 0.002


class Journal:
    """Confirms an event once its line is in the file."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    async def publish(self, event: CloudEvent) -> None:
        await asyncio.sleep(CONFIRM_TIME)
        os.write(self._file, f"{os.getpid()} {event.partition_key} {event.sequence}\n".encode())
        await asyncio.sleep(CONFIRM_TIME)

    def consume(self, subscription: object) -> object:
        raise NotImplementedError

    async def ping(self) -> None:
        pass


if __name__ == "__main__":
    bus = Journal(sys.argv[2])
    relay = OutboxRelay(sys.argv[1], bus, source="/services/test", metrics=Metrics("test", "0", "-"))  # type: ignore[arg-type]
    asyncio.run(relay.lead())
