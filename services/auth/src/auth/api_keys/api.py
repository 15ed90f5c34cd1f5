"""The caller's API keys."""

import re
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request, Response

from auth.api_keys.schemas import ApiKeyBody, ApiKeyView
from auth.errors import IdempotencyKeyReused
from auth.security.scopes import ACCOUNT
from auth.tokens.oauth_forms import NO_STORE
from auth.web.error_responses import personal
from auth.web.origin import origin_of
from auth.web.pagination import DEFAULT_LIMIT, Cursor, Limit
from parley.errors import (
    FieldError,
    InvalidCursor,
    InvalidJson,
    NotFound,
    UnsupportedMediaType,
    ValidationFailed,
)
from parley.security.identity import Principal, caller
from parley.web.app import JsonRoute
from parley.web.schemas import Page

router = APIRouter(prefix="/api/v1/auth/api-keys", route_class=JsonRoute, tags=["api keys"])

Owner = Annotated[Principal, Depends(caller(ACCOUNT))]
IdempotencyKey = Annotated[str | None, Header(alias="Idempotency-Key", description="1 to 255 visible characters.")]
_KEY = re.compile(r"^[\x21-\x7e]{1,255}$")


@router.post(
    "",
    status_code=201,
    responses=personal(InvalidJson, UnsupportedMediaType, ValidationFailed, IdempotencyKeyReused),
)
async def create_api_key(
    body: ApiKeyBody,
    request: Request,
    response: Response,
    principal: Owner,
    idempotency_key: IdempotencyKey = None,
) -> ApiKeyView:
    """Make an API key; its secret is shown this once."""
    if idempotency_key is not None and not _KEY.fullmatch(idempotency_key):
        raise ValidationFailed([FieldError("/Idempotency-Key", "invalid_format", "1 to 255 visible characters.")])
    key, secret = await request.app.state.wired.api_keys.create(
        principal,
        name=body.name,
        scopes=body.scopes,
        expires_at=body.expires_at,
        idempotency_key=idempotency_key,
        origin=origin_of(request, principal),
    )
    response.headers.update({**NO_STORE, "Location": f"/api/v1/auth/api-keys/{key.id}"})
    if secret is None:
        response.headers["Idempotency-Replayed"] = "true"
    return ApiKeyView.of(key, secret)


@router.get("", responses=personal(InvalidCursor, ValidationFailed))
async def list_api_keys(
    request: Request, principal: Owner, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[ApiKeyView]:
    """List the caller's keys, newest first."""
    wired = request.app.state.wired
    before = wired.cursors.read("api-keys", cursor)
    found = await wired.api_keys.list(principal, before=before, limit=limit + 1)
    page: Page[ApiKeyView] = wired.cursors.page(
        "api-keys", found, limit, view=ApiKeyView.of, identify=lambda key: key.id
    )
    return page


@router.delete("/{key_id}", status_code=204, responses=personal(NotFound))
async def delete_api_key(key_id: str, request: Request, principal: Owner) -> None:
    """Delete a key; tokens made from it are void."""
    await request.app.state.wired.api_keys.delete(principal, key_id, origin_of(request, principal))
