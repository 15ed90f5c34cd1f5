"""Metrics of the deliveries that are due."""

import asyncio

from prometheus_client import CollectorRegistry, Gauge

from parley.process.loop_steps import run_step
from webhooks.sending.postgres import PostgresDeliveryQueue

INTERVAL = 15.0


class BacklogReporter:
    """Exports the backlog of the queue; every process reports the same numbers."""

    def __init__(self, queue: PostgresDeliveryQueue, registry: CollectorRegistry) -> None:
        self._queue = queue
        self._due = Gauge(
            "webhooks_deliveries_due", "Deliveries that are due and not sent yet, at most 10,000.", registry=registry
        )
        self._oldest = Gauge(
            "webhooks_oldest_due_seconds",
            "Time for which the oldest delivery has been due, without ordered webhooks and receivers that fail.",
            registry=registry,
        )

    async def run(self) -> None:
        """Report every ``INTERVAL`` seconds."""
        while True:
            await run_step("webhook backlog", self.report)
            await asyncio.sleep(INTERVAL)

    async def report(self) -> None:
        """Set the gauges."""
        backlog = await self._queue.backlog()
        self._due.set(backlog["due"])
        self._oldest.set(backlog["oldest_due_healthy_s"])
