"""Construction of the webhook service: storage, services, event consumer and sender."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from parley.infrastructure import open_infrastructure
from parley.messaging.bus import Bus
from parley.process.tasks import background
from parley.security.encryption import SecretCipher, derive_key, read_key
from parley.security.identity import Verifier
from parley.web.runtime import Runtime
from webhooks.database import Database
from webhooks.deliveries.postgres import PostgresDeliveryLog
from webhooks.deliveries.service import DeliveryService
from webhooks.endpoints.idempotency import StoredResponses
from webhooks.endpoints.postgres import PostgresWebhookStore
from webhooks.endpoints.service import WebhookService
from webhooks.erasure.postgres import PostgresRedactions, PostgresUserWebhooks
from webhooks.intake.binding import EventBinding
from webhooks.intake.consumer import EventIntake, consume_events
from webhooks.intake.postgres import PostgresIntake
from webhooks.intake.wanted import WantedEvents
from webhooks.outgoing.http_sender import open_sender
from webhooks.outgoing.signing import WebhookSecrets
from webhooks.outgoing.targets import TargetPolicy
from webhooks.retention.purge import EventPurger
from webhooks.sending.backlog import BacklogReporter
from webhooks.sending.postgres import PostgresDeliveryQueue
from webhooks.sending.schedule import RetrySchedule
from webhooks.sending.worker import DeliveryWorker
from webhooks.settings import WebhooksSettings


@dataclass(frozen=True, slots=True)
class WebhookServices:
    """The services that routes find in ``app.state.wired``."""

    verifier: Verifier
    webhooks: WebhookService
    deliveries: DeliveryService


@contextlib.asynccontextmanager
async def wire(
    settings: WebhooksSettings, runtime: Runtime, *, bus: Bus | None = None
) -> AsyncIterator[WebhookServices]:
    """Open the service for the duration of the context; pass ``bus`` when several services share a process."""
    key = derive_key(read_key(settings.webhooks_secret_key.get_secret_value()), "webhook secrets")
    cipher = SecretCipher(key)
    secrets = WebhookSecrets(cipher)
    policy = TargetPolicy(settings.webhooks_allow_http, settings.networks())
    registry = runtime.metrics.registry
    async with contextlib.AsyncExitStack() as stack:
        infrastructure = await stack.enter_async_context(open_infrastructure(settings, runtime, bus=bus))
        database, own_work = Database(infrastructure.pool, infrastructure.queue), Database(infrastructure.pool)
        queue = PostgresDeliveryQueue(
            own_work,
            max_in_flight=settings.webhooks_max_in_flight,
            disable_after=settings.webhooks_disable_after,
        )
        sender = await stack.enter_async_context(open_sender(policy))
        schedule = RetrySchedule(settings.retry_delays())
        worker = DeliveryWorker(queue, sender, secrets, schedule, registry, service=runtime.service)

        async def report() -> dict[str, Any]:
            return {"deliveries": await queue.backlog()}

        runtime.reports.append(report)
        backlog = BacklogReporter(queue, registry)
        await stack.enter_async_context(background("backlog", backlog.run, service=runtime.service))
        purger = EventPurger(own_work, retention_days=settings.webhooks_retention_days)
        await stack.enter_async_context(background("purge", purger.run, service=runtime.service))
        await stack.enter_async_context(worker.running())
        intake = EventIntake(
            PostgresIntake(own_work),
            PostgresUserWebhooks(own_work),
            PostgresRedactions(own_work),
            WantedEvents(own_work),
            registry,
            wake=worker.wake,
            wake_relay=infrastructure.relay.hint,
        )
        binding = EventBinding(infrastructure.bus, database)
        await stack.enter_async_context(consume_events(infrastructure.bus, intake, binding))
        responses = StoredResponses(database, cipher)
        webhooks = WebhookService(
            PostgresWebhookStore(database), responses, secrets, policy, bind=binding.ensure, wake=worker.wake
        )
        yield WebhookServices(
            verifier=infrastructure.verifier,
            webhooks=webhooks,
            deliveries=DeliveryService(webhooks, PostgresDeliveryLog(database), wake=worker.wake),
        )
