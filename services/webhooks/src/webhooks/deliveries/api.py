"""Routes of the delivery log."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from parley.errors import InsufficientScope, InvalidCursor, NotFound, ValidationFailed
from parley.web.app import JsonRoute
from parley.web.openapi import location, problems
from parley.web.schemas import Page
from webhooks.deliveries.model import DeliveryFilter, DeliveryStatus
from webhooks.deliveries.schemas import DeliveryView, RedeliverBody, RedeliveredView
from webhooks.deliveries.service import DeliveryService
from webhooks.web.dependencies import Cursor, Limit, Manager, parse_path_id

router = APIRouter(prefix="/api/v1/webhooks/{webhook_id}", route_class=JsonRoute, tags=["webhooks"])


async def delivery_service(request: Request) -> DeliveryService:
    """Return the service that ``wire`` opened."""
    service: DeliveryService = request.app.state.wired.deliveries
    return service


Deliveries = Annotated[DeliveryService, Depends(delivery_service)]
_LIST = "/api/v1/webhooks/01a200ac-0000-7000-8000-000000000001/deliveries"
_ONE = f"{_LIST}?event_id=01a200aa-0000-7000-8000-000000000009"
_ONE_DELIVERY: dict[int | str, dict[str, Any]] = {202: {"headers": location("A list with this delivery.", _ONE)}}
_DELIVERIES: dict[int | str, dict[str, Any]] = {202: {"headers": location("The deliveries.", _LIST)}}


@router.post("/test", status_code=202, responses={**_ONE_DELIVERY, **problems(InsufficientScope, NotFound)})
async def test_webhook(webhook_id: str, response: Response, principal: Manager, deliveries: Deliveries) -> DeliveryView:
    """Send a test event of the type `webhook.test` to the webhook. A paused or disabled webhook sends it later."""
    found = await deliveries.send_test(principal, parse_path_id(webhook_id))
    response.headers["Location"] = _list_path(webhook_id, found.event_id)
    return DeliveryView.of(found)


@router.get("/deliveries", responses=problems(InsufficientScope, NotFound, InvalidCursor))
async def list_deliveries(
    webhook_id: str,
    principal: Manager,
    deliveries: Deliveries,
    status: Annotated[DeliveryStatus | None, Query(description="Only deliveries with this status.")] = None,
    event_id: Annotated[UUID | None, Query(description="Only the delivery of this event.")] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[DeliveryView]:
    """List deliveries, newest first. `failed` is tried again, `dead` is not."""
    chosen = DeliveryFilter(status, event_id)
    return await deliveries.page(principal, parse_path_id(webhook_id), chosen, cursor, limit)


@router.post(
    "/deliveries/{delivery_id}/redeliver",
    status_code=202,
    responses={**_ONE_DELIVERY, **problems(InsufficientScope, NotFound)},
)
async def redeliver_delivery(
    webhook_id: str, delivery_id: str, response: Response, principal: Manager, deliveries: Deliveries
) -> DeliveryView:
    """Send a delivery again with the same `webhook-id` and body."""
    found = await deliveries.redeliver(principal, parse_path_id(webhook_id), parse_path_id(delivery_id))
    response.headers["Location"] = _list_path(webhook_id, found.event_id)
    return DeliveryView.of(found)


@router.post(
    "/redeliver",
    status_code=202,
    responses={**_DELIVERIES, **problems(InsufficientScope, NotFound, ValidationFailed)},
)
async def redeliver_range(
    webhook_id: str, body: RedeliverBody, response: Response, principal: Manager, deliveries: Deliveries
) -> RedeliveredView:
    """Send the finished deliveries of a time range again, at most 10,000.

    If `more` is true, repeat the request with `attempted_before` of the response.
    """
    done = await deliveries.redeliver_range(principal, parse_path_id(webhook_id), body)
    response.headers["Location"] = _list_path(webhook_id)
    return done


def _list_path(webhook_id: str, event_id: UUID | None = None) -> str:
    """Return the URL at which clients poll deliveries."""
    return f"/api/v1/webhooks/{webhook_id}/deliveries" + (f"?event_id={event_id}" if event_id else "")
