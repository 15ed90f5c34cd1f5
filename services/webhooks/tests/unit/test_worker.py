"""The worker: claims of requests in progress are renewed, and an outage of the database is no failure of its own."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, cast
from uuid import UUID, uuid4

from prometheus_client import CollectorRegistry

from parley.errors import DependencyUnavailable
from parley.process.tasks import incidents
from parley_testing.virtual_time import virtual_time
from webhooks.outgoing.http_sender import Response
from webhooks.outgoing.signing import WebhookSecrets, new_secret
from webhooks.sending.backlog import BacklogReporter
from webhooks.sending.postgres import LEASE, MAX_BYTES_OF_USER, RENEWAL_INTERVAL, AttemptOutcome, ClaimedDelivery
from webhooks.sending.schedule import RetrySchedule
from webhooks.sending.worker import (
    CLAIM_SIZE,
    MAX_BUSY_REQUESTS_OF_USER,
    MAX_BYTES_IN_FLIGHT,
    MAX_IN_FLIGHT,
    MIN_INTERVAL,
    POLL_INTERVAL,
    DeliveryWorker,
)


class Queue:
    """One delivery, and a record of renewals."""

    def __init__(self) -> None:
        self.claim_id = uuid4()
        self.waiting = [
            ClaimedDelivery(uuid4(), self.claim_id, uuid4(), uuid4(), 0, "https://example.org", b"{}", (), uuid4())
        ]
        self.renewals: list[Collection[UUID]] = []
        self.finished: list[str] = []
        self.sizes: list[int] = []
        self.bounds: list[tuple[int, bool, Collection[UUID]]] = []
        self.recorded: AttemptOutcome | None = None
        """What is recorded whatever the attempt gave."""
        self.outages = 0
        """Claims that find no database."""

    async def claim(
        self, limit: int, size: int, *, only_healthy: bool, without: Collection[UUID] = ()
    ) -> Sequence[ClaimedDelivery]:
        self.sizes.append(size)
        self.bounds.append((limit, only_healthy, without))
        if self.outages:
            self.outages -= 1
            raise DependencyUnavailable
        found, self.waiting = self.waiting, []
        return found

    async def renew(self, claims: Collection[UUID]) -> None:
        self.renewals.append(claims)
        if len(self.renewals) == 1:
            raise TimeoutError("the database is slow")

    async def finish(self, delivery: ClaimedDelivery, outcome: AttemptOutcome) -> AttemptOutcome:
        self.finished.append(outcome.status)
        return outcome if self.recorded is None else self.recorded

    async def backlog(self) -> dict[str, float]:
        return {"due": 3, "oldest_due_s": 9.0, "oldest_due_healthy_s": 1.5}


class SlowReceiver:
    """A receiver that takes 14 s."""

    async def post(self, *_: object) -> Response:
        await asyncio.sleep(14)
        return Response(204, None, 14_000)


class Secrets:
    def decrypt_all(self, *_: object) -> list[bytes]:
        return [new_secret()]


def worker_of(queue: Queue, registry: CollectorRegistry | None = None) -> DeliveryWorker:
    return DeliveryWorker(
        cast("Any", queue),
        cast("Any", SlowReceiver()),
        cast("WebhookSecrets", Secrets()),
        RetrySchedule((5.0,)),
        registry or CollectorRegistry(),
        service="webhooks",
    )


@virtual_time
async def test_a_claim_is_renewed_while_its_request_runs_also_on_shutdown_and_not_after_it() -> None:
    queue = Queue()
    async with worker_of(queue).running():
        await asyncio.sleep(RENEWAL_INTERVAL / 2)
    assert queue.finished == ["delivered"]
    assert queue.renewals == [{queue.claim_id}] * int(14 // RENEWAL_INTERVAL)
    # One renewal may fail.
    assert 2 * RENEWAL_INTERVAL < LEASE


@virtual_time
async def test_deliveries_go_on_after_an_outage_of_the_database_that_counts_as_no_incident_of_the_task() -> None:
    queue, before = Queue(), incidents.total()
    queue.outages = 60
    async with worker_of(queue).running():
        await asyncio.sleep(60 * (POLL_INTERVAL + 2 * MIN_INTERVAL))
    assert queue.finished == ["delivered"]
    assert incidents.total() == before


@virtual_time
async def test_the_outcome_that_is_recorded_is_the_one_that_is_counted() -> None:
    queue, registry = Queue(), CollectorRegistry()
    queue.recorded = AttemptOutcome("failed", 0.0, 500, 3, None)
    async with worker_of(queue, registry).running():
        await asyncio.sleep(15)
    assert registry.get_sample_value("webhooks_attempts_total", {"status": "failed"}) == 1
    assert registry.get_sample_value("webhooks_attempts_total", {"status": "delivered"}) is None


@virtual_time
async def test_the_backlog_is_exported() -> None:
    registry = CollectorRegistry()
    await BacklogReporter(cast("Any", Queue()), registry).report()
    assert registry.get_sample_value("webhooks_deliveries_due") == 3
    assert registry.get_sample_value("webhooks_oldest_due_seconds") == 1.5


@virtual_time
async def test_deliveries_are_claimed_until_the_bodies_of_those_that_are_open_reach_their_bound() -> None:
    queue = Queue()
    (one,) = queue.waiting
    queue.waiting = [replace(one, body=bytes(MAX_BYTES_IN_FLIGHT // 2)) for _ in range(2)]
    async with worker_of(queue).running():
        await asyncio.sleep(10)
        assert queue.sizes == [MAX_BYTES_IN_FLIGHT]
        await asyncio.sleep(10)
        assert queue.sizes[-1] == MAX_BYTES_IN_FLIGHT
    assert queue.finished == ["delivered"] * 2


@virtual_time
async def test_a_user_whose_requests_have_many_bytes_gets_no_further_ones() -> None:
    queue = Queue()
    (one,) = queue.waiting
    shared = replace(one, owner=uuid4(), is_own=False, body=bytes(MAX_BYTES_OF_USER))
    queue.waiting = [shared, *(replace(one, body=bytes(MAX_BYTES_OF_USER // 2)) for _ in range(2))]
    async with worker_of(queue).running():
        await asyncio.sleep(1)
        assert queue.bounds == [(CLAIM_SIZE, False, []), (MAX_BUSY_REQUESTS_OF_USER, True, [one.owner])]


@virtual_time
async def test_while_half_of_the_requests_are_in_progress_a_user_gets_few() -> None:
    queue = Queue()
    (one,) = queue.waiting
    other = replace(one, owner=uuid4())
    queue.waiting = [*[one] * (MAX_IN_FLIGHT // 2), *[other] * (MAX_BUSY_REQUESTS_OF_USER - 1)]
    async with worker_of(queue).running():
        await asyncio.sleep(1)
        assert queue.bounds == [(CLAIM_SIZE, False, []), (MAX_BUSY_REQUESTS_OF_USER, True, [one.owner])]
