"""The sender: claims due deliveries, sends each in a task of its own, and records the outcome."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection
from functools import partial
from uuid import UUID

import prometheus_client
import structlog
from prometheus_client import CollectorRegistry, Histogram

from parley import __version__
from parley.errors import DependencyUnavailable
from parley.process.loop_steps import run_step
from parley.process.tasks import background
from parley.process.timeouts import at_most
from webhooks.outgoing.http_sender import REQUEST_TIMEOUT, HttpSender, Response
from webhooks.outgoing.resolver import names_of
from webhooks.outgoing.signing import WebhookSecrets, signature_headers
from webhooks.sending.postgres import MAX_BYTES_OF_USER, RENEWAL_INTERVAL, ClaimedDelivery, PostgresDeliveryQueue
from webhooks.sending.schedule import RetrySchedule

log = structlog.get_logger()

MAX_IN_FLIGHT = 200
"""Requests at once of one process. Webhooks that fail get at most half of them."""
MAX_BYTES_IN_FLIGHT = 100_000_000
"""Bytes of the bodies of these requests. Beyond them, no delivery is claimed."""
MAX_BUSY_REQUESTS_OF_USER = 10
"""Requests of one user from which on no more are claimed, while half of all, or of their bytes, are in progress.

One claim takes as many, so that a user has fewer than twice as many.
"""
CLAIM_SIZE = 50
POLL_INTERVAL = 1.0
"""Seconds between two claims while nothing wakes the sender."""
MIN_INTERVAL = 0.02
HEADERS = {"Content-Type": "application/json", "User-Agent": f"Parley-Webhooks/{__version__}"}
BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15)


class DeliveryWorker:
    """Sends deliveries while ``running`` is entered."""

    def __init__(
        self,
        queue: PostgresDeliveryQueue,
        sender: HttpSender,
        secrets: WebhookSecrets,
        schedule: RetrySchedule,
        registry: CollectorRegistry,
        *,
        service: str,
    ) -> None:
        self._queue, self._sender, self._secrets, self._schedule = queue, sender, secrets, schedule
        self._service = service
        self._tasks: dict[asyncio.Task[None], ClaimedDelivery] = {}
        """Requests in progress, and the deliveries that they send."""
        self._woken = asyncio.Event()
        self._attempts = prometheus_client.Counter(
            "webhooks_attempts_total",
            "Requests to receivers, by the status of the delivery.",
            ["status"],
            registry=registry,
        )
        self._duration = Histogram(
            "webhooks_request_duration_seconds", "Time of a request to a receiver.", buckets=BUCKETS, registry=registry
        )

    def wake(self) -> None:
        """Look for due deliveries now."""
        self._woken.set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send deliveries for the duration of the context, which ends after the requests in progress."""
        try:
            async with background("delivery leases", self._keep_claims, service=self._service):
                try:
                    async with background("deliveries", self._run, service=self._service):
                        yield
                finally:
                    async with at_most(REQUEST_TIMEOUT + 1):
                        await asyncio.gather(*self._tasks, return_exceptions=True)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep_claims(self) -> None:
        while True:
            await asyncio.sleep(RENEWAL_INTERVAL)
            if claims := {delivery.claim for delivery in self._tasks.values()}:
                await run_step("delivery leases", partial(self._queue.renew, claims))

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            try:
                found = await self._start_due()
            except DependencyUnavailable as error:
                found = 0
                log.warning("step_postponed", step="deliveries", reason=str(error))
            await asyncio.sleep(MIN_INTERVAL)
            if not found:
                async with at_most(POLL_INTERVAL):
                    await self._woken.wait()

    async def _start_due(self) -> int:
        free = MAX_IN_FLIGHT - len(self._tasks)
        free_bytes = MAX_BYTES_IN_FLIGHT - sum(len(delivery.body) for delivery in self._tasks.values())
        if min(free, free_bytes) <= 0:
            return 0
        busy = free <= MAX_IN_FLIGHT // 2 or free_bytes <= MAX_BYTES_IN_FLIGHT // 2
        claimed = await self._queue.claim(
            min(free, MAX_BUSY_REQUESTS_OF_USER if busy else CLAIM_SIZE),
            free_bytes,
            only_healthy=busy,
            without=self._users_with_their_share(busy=busy),
        )
        for delivery in claimed:
            task = asyncio.create_task(self._deliver(delivery), name=f"delivery {delivery.id}")
            self._tasks[task] = delivery
            task.add_done_callback(self._done)
        return len(claimed)

    def _users_with_their_share(self, *, busy: bool) -> Collection[UUID]:
        """Return the users who have as many requests in progress as one user may have, or as many bytes of them."""
        requests = MAX_BUSY_REQUESTS_OF_USER if busy else MAX_IN_FLIGHT
        count, size = Counter[UUID](), Counter[UUID]()
        for delivery in self._tasks.values():
            if delivery.is_own:
                count[delivery.owner] += 1
                size[delivery.owner] += len(delivery.body)
        return [user for user in count if count[user] >= requests or size[user] >= MAX_BYTES_OF_USER]

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            # The claim ends by itself, and the delivery is sent again.
            log.error("delivery_outcome_lost", error=type(error).__name__)
        self.wake()

    async def _deliver(self, delivery: ClaimedDelivery) -> None:
        response = await self._send(delivery)
        outcome = await self._queue.finish(delivery, self._schedule.outcome(response, delivery.attempt))
        if outcome.retry_after is not None and outcome.retry_after < POLL_INTERVAL:
            asyncio.get_running_loop().call_later(outcome.retry_after, self.wake)
        self._attempts.labels(outcome.status).inc()
        self._duration.observe(response.latency_ms / 1000)
        log.info(
            "webhook_attempt",
            webhook_id=str(delivery.webhook_id),
            event_id=str(delivery.event_id),
            attempt=delivery.attempt + 1,
            status=outcome.status,
            response_status=outcome.response_status,
            error=outcome.error,
            latency_ms=outcome.latency_ms,
        )

    async def _send(self, delivery: ClaimedDelivery) -> Response:
        keys = self._secrets.decrypt_all(delivery.encrypted_secrets, delivery.webhook_id)
        if not keys:
            return Response(None, "secret_unreadable", 0)
        signed = signature_headers(delivery.event_id, int(time.time()), delivery.body, keys)
        with names_of(delivery.owner):
            return await self._sender.post(delivery.url, delivery.body, {**HEADERS, **signed})
