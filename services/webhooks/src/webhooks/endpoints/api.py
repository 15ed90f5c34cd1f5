"""Webhook routes."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from parley.errors import InsufficientScope, InvalidCursor, InvalidRequest, NotFound, ValidationFailed
from parley.security.identity import Principal
from parley.web.app import JsonRoute
from parley.web.idempotency_keys import IdempotencyKeyReused, check_idempotency_key
from parley.web.openapi import REPLAYED, IdempotencyKey, location, problems
from parley.web.schemas import Page
from webhooks.endpoints.idempotency import KeyedRequest, fingerprint
from webhooks.endpoints.schemas import WebhookBody, WebhookPatch, WebhookSecretView, WebhookView
from webhooks.endpoints.service import WebhookService
from webhooks.web.dependencies import EXAMPLE_WEBHOOK, NO_STORE, Cursor, Limit, Manager, parse_path_id

router = APIRouter(prefix="/api/v1/webhooks", route_class=JsonRoute, tags=["webhooks"])


async def webhook_service(request: Request) -> WebhookService:
    """Return the service that ``wire`` opened."""
    service: WebhookService = request.app.state.wired.webhooks
    return service


Webhooks = Annotated[WebhookService, Depends(webhook_service)]


@router.post(
    "",
    status_code=201,
    responses={
        201: {"headers": {**location("The webhook.", f"/api/v1/webhooks/{EXAMPLE_WEBHOOK}"), **REPLAYED}},
        **problems(InsufficientScope, InvalidRequest, ValidationFailed, IdempotencyKeyReused),
    },
)
async def create_webhook(
    body: WebhookBody,
    request: Request,
    response: Response,
    principal: Manager,
    webhooks: Webhooks,
    idempotency_key: IdempotencyKey = None,
) -> WebhookSecretView:
    """Create a webhook. The response is the only one that contains the secret.

    Filters are event names. In a filter, `*` stands for one word and `#` for any number of words. The scope `own`
    selects your own events; `all` selects the events of all users and requires the scope `admin`.
    """
    keyed = _keyed(request, principal, idempotency_key, body)
    view, replayed = await webhooks.create(principal, body, keyed)
    _set_headers(response, {"Location": f"/api/v1/webhooks/{view.id}"}, replayed=replayed)
    return view


@router.get("", responses=problems(InsufficientScope, InvalidCursor))
async def list_webhooks(
    principal: Manager, webhooks: Webhooks, limit: Limit = 20, cursor: Cursor = None
) -> Page[WebhookView]:
    """List your webhooks, newest first; with the scope `admin`, also those for all users."""
    return await webhooks.page(principal, cursor, limit)


@router.get("/{webhook_id}", responses=problems(InsufficientScope, NotFound))
async def get_webhook(webhook_id: str, principal: Manager, webhooks: Webhooks) -> WebhookView:
    """Return a webhook."""
    return WebhookView.of(await webhooks.get(principal, parse_path_id(webhook_id)))


@router.patch("/{webhook_id}", responses=problems(InsufficientScope, NotFound, ValidationFailed))
async def update_webhook(webhook_id: str, body: WebhookPatch, principal: Manager, webhooks: Webhooks) -> WebhookView:
    """Change a webhook, pause it, or activate it again.

    A paused webhook keeps its events until it is active again. A disabled webhook gets no events.
    """
    return WebhookView.of(await webhooks.patch(principal, parse_path_id(webhook_id), body))


@router.delete("/{webhook_id}", status_code=204, responses=problems(InsufficientScope, NotFound))
async def delete_webhook(webhook_id: str, principal: Manager, webhooks: Webhooks) -> None:
    """Delete a webhook and its delivery log."""
    await webhooks.delete(principal, parse_path_id(webhook_id))


@router.post(
    "/{webhook_id}/secret",
    responses={
        200: {"headers": REPLAYED},
        **problems(InsufficientScope, InvalidRequest, NotFound, IdempotencyKeyReused),
    },
)
async def rotate_webhook_secret(
    webhook_id: str,
    request: Request,
    response: Response,
    principal: Manager,
    webhooks: Webhooks,
    idempotency_key: IdempotencyKey = None,
) -> WebhookSecretView:
    """Replace the secret. For 24 hours, deliveries have a signature of each secret.

    A second replacement ends the validity of the first secret: send an `Idempotency-Key`, so that you can repeat a
    request whose response was lost.
    """
    keyed = _keyed(request, principal, idempotency_key)
    view, replayed = await webhooks.rotate_secret(principal, parse_path_id(webhook_id), keyed)
    _set_headers(response, {}, replayed=replayed)
    return view


def _keyed(
    request: Request, principal: Principal, key: str | None, body: WebhookBody | None = None
) -> KeyedRequest | None:
    """Return the request if it has a key; raises InvalidRequest if the key is malformed."""
    check_idempotency_key(key)
    if key is None:
        return None
    return KeyedRequest(principal.user_id, request.scope["path"], key, fingerprint(body))


def _set_headers(response: Response, headers: dict[str, str], *, replayed: bool) -> None:
    response.headers.update({**NO_STORE, **headers, **({"Idempotency-Replayed": "true"} if replayed else {})})
