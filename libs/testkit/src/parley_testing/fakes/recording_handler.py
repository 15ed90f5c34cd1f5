"""An event handler that records its events."""

from parley_events.cloudevents import CloudEvent


class RecordingHandler:
    """A handler that records its events, and raises the given errors first."""

    def __init__(self, *failures: Exception) -> None:
        self.seen: list[CloudEvent] = []
        self.failures = list(failures)

    async def __call__(self, event: CloudEvent) -> None:
        self.seen.append(event)
        if self.failures:
            raise self.failures.pop(0)
