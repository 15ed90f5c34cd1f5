"""Rules of the delivery log: lists, test deliveries, redelivery."""

from collections.abc import Callable
from uuid import UUID

import orjson

from parley.errors import NotFound
from parley.ids import new_id
from parley.security.identity import Principal
from parley.times import now
from parley.web import cursors
from parley.web.schemas import Page
from webhooks.deliveries.body import delivery_body
from webhooks.deliveries.model import MAX_REDELIVERED, TEST_EVENT, DeliveryFilter, NewEvent, WebhookDelivery
from webhooks.deliveries.postgres import PostgresDeliveryLog
from webhooks.deliveries.schemas import DeliveryView, RedeliverBody, RedeliveredView
from webhooks.endpoints.service import WebhookService


class DeliveryService:
    """Deliveries of the webhooks that the caller may see."""

    def __init__(self, webhooks: WebhookService, log: PostgresDeliveryLog, *, wake: Callable[[], None]) -> None:
        """``wake`` tells the sender that a delivery is due."""
        self._webhooks, self._log, self._wake = webhooks, log, wake

    async def page(
        self, principal: Principal, webhook_id: UUID, chosen: DeliveryFilter, cursor: str | None, limit: int
    ) -> Page[DeliveryView]:
        """Return a page of deliveries, the newest first."""
        await self._webhooks.get(principal, webhook_id)
        kind = f"deliveries {webhook_id} {chosen.status} {chosen.event_id}"
        (before,) = cursors.decode(kind, cursor, (UUID,)) if cursor is not None else (None,)
        found = await self._log.list(webhook_id, chosen, before=before, limit=limit + 1)
        listed = found[:limit]
        following = cursors.encode(kind, (str(listed[-1].id),)) if len(found) > limit else None
        return Page(data=[DeliveryView.of(each) for each in listed], next_cursor=following)

    async def send_test(self, principal: Principal, webhook_id: UUID) -> WebhookDelivery:
        """Send a test event to a webhook, and return its delivery."""
        webhook = await self._webhooks.get(principal, webhook_id)
        moment = now()
        data = orjson.dumps({"webhook_id": str(webhook.id), "user_id": str(webhook.user_id)})
        event = NewEvent(
            id=new_id(),
            user_id=webhook.user_id,
            name=TEST_EVENT,
            version=1,
            partition_key=str(webhook.id),
            time=moment,
            body=delivery_body(TEST_EVENT, moment, data),
        )
        delivery_id = await self._log.add(webhook_id, event)
        if delivery_id is None:
            raise NotFound
        self._wake()
        return await self._find(webhook_id, delivery_id)

    async def redeliver(self, principal: Principal, webhook_id: UUID, delivery_id: UUID) -> WebhookDelivery:
        """Send a delivery again, and return it; raises NotFound."""
        await self._webhooks.get(principal, webhook_id)
        await self._log.redeliver(webhook_id, delivery_id)
        self._wake()
        return await self._find(webhook_id, delivery_id)

    async def redeliver_range(self, principal: Principal, webhook_id: UUID, chosen: RedeliverBody) -> RedeliveredView:
        """Send the finished deliveries of a range again."""
        await self._webhooks.get(principal, webhook_id)
        count, before = await self._log.redeliver_range(webhook_id, chosen.since, chosen.until, chosen.attempted_before)
        self._wake()
        return RedeliveredView(deliveries=count, more=count == MAX_REDELIVERED, attempted_before=before)

    async def _find(self, webhook_id: UUID, delivery_id: UUID) -> WebhookDelivery:
        found = await self._log.find(webhook_id, delivery_id)
        if found is None:
            raise NotFound
        return found
