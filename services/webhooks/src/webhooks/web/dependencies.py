"""Request parameters and response descriptions that the routes share."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Request

from parley.errors import InsufficientScope, NotFound
from parley.ids import parse_id
from parley.security.identity import Principal, caller
from webhooks.scopes import SCOPE_ALL, SCOPE_OWN

Limit = Annotated[int, Query(ge=1, le=100, description="Entries per page.")]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the previous page.")]
NO_STORE = {"Cache-Control": "no-store"}
EXAMPLE_WEBHOOK = "01a200ac-0000-7000-8000-000000000001"

_authenticate = caller()


async def webhook_manager(request: Request) -> Principal:
    """Return the caller; raises InsufficientScope unless the token has one of the two scopes."""
    principal = await _authenticate(request)
    if not principal.scopes & {SCOPE_OWN, SCOPE_ALL}:
        raise InsufficientScope(SCOPE_OWN)
    return principal


Manager = Annotated[Principal, Depends(webhook_manager)]


def parse_path_id(text: str) -> UUID:
    """Parse an id in a path; raises NotFound for a malformed id too."""
    found = parse_id(text)
    if found is None:
        raise NotFound
    return found
