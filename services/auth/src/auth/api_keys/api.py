"""Routes of the caller's API keys."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from auth.api_keys.schemas import ApiKeyBody, ApiKeyView
from auth.api_keys.service import ApiKeyService
from auth.security.scopes import ACCOUNT_SCOPE
from auth.web.dependencies import provide
from auth.web.origin import Origins
from auth.web.pagination import DEFAULT_LIMIT, Cursor, Cursors, Limit
from auth.web.response_headers import NO_STORE
from parley.errors import (
    InvalidCursor,
    InvalidJson,
    InvalidRequest,
    NotFound,
    ReauthenticationRequired,
    UnsupportedMediaType,
    ValidationFailed,
)
from parley.security.identity import Principal, caller
from parley.web.app import JsonRoute
from parley.web.idempotency_keys import IdempotencyKeyReused, check_idempotency_key
from parley.web.openapi import EXAMPLE_ID, REPLAYED, IdempotencyKey, location, problems
from parley.web.schemas import Page

router = APIRouter(prefix="/api/v1/auth/api-keys", route_class=JsonRoute, tags=["api keys"])

Service = Annotated[ApiKeyService, Depends(provide(ApiKeyService))]
Owner = Annotated[Principal, Depends(caller(ACCOUNT_SCOPE))]


@router.post(
    "",
    status_code=201,
    responses={
        201: {"headers": {**location("The key.", f"/api/v1/auth/api-keys/{EXAMPLE_ID}"), **REPLAYED}},
        **problems(
            InvalidJson,
            InvalidRequest,
            UnsupportedMediaType,
            ValidationFailed,
            IdempotencyKeyReused,
            ReauthenticationRequired,
        ),
    },
)
async def create_api_key(
    body: ApiKeyBody,
    request: Request,
    response: Response,
    principal: Owner,
    api_keys: Service,
    origins: Origins,
    idempotency_key: IdempotencyKey = None,
) -> ApiKeyView:
    """Create an API key. The response is the only one that contains the secret.

    Scopes other than `chat:write`, and a lifetime of more than 90 days, require a login within the last five minutes.
    """
    check_idempotency_key(idempotency_key)
    key, secret = await api_keys.create(
        principal,
        name=body.name,
        scopes=body.scopes,
        expiry=body.expiry(),
        idempotency_key=idempotency_key,
        origin=origins.resolve(request, principal),
    )
    response.headers.update({**NO_STORE, "Location": f"/api/v1/auth/api-keys/{key.id}"})
    if secret is None:
        response.headers["Idempotency-Replayed"] = "true"
    return ApiKeyView.of(key, secret)


@router.get("", responses=problems(InvalidCursor, ValidationFailed))
async def list_api_keys(
    principal: Owner, api_keys: Service, cursors: Cursors, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[ApiKeyView]:
    """List the API keys of the caller, newest first."""
    before = cursors.decode("api-keys", cursor)
    found = await api_keys.list(principal, before=before, limit=limit + 1)
    return cursors.page("api-keys", found, limit, view=ApiKeyView.of)


@router.delete("/{key_id}", status_code=204, responses=problems(NotFound))
async def delete_api_key(key_id: str, request: Request, principal: Owner, api_keys: Service, origins: Origins) -> None:
    """Delete an API key. Access tokens issued for it stop working at once."""
    await api_keys.delete(principal, key_id, origins.resolve(request, principal))
