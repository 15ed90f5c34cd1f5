"""The caller's sessions."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from auth.security.scopes import ACCOUNT
from auth.sessions.schemas import SessionView
from auth.web.error_responses import personal
from auth.web.origin import origin_of
from auth.web.pagination import DEFAULT_LIMIT, Cursor, Limit
from parley.errors import InvalidCursor, NotFound, ValidationFailed
from parley.security.identity import Principal, caller
from parley.web.app import JsonRoute
from parley.web.schemas import Page

router = APIRouter(prefix="/api/v1/auth/sessions", route_class=JsonRoute, tags=["sessions"])

Owner = Annotated[Principal, Depends(caller(ACCOUNT))]


@router.get("", responses=personal(InvalidCursor, ValidationFailed))
async def list_sessions(
    request: Request, principal: Owner, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[SessionView]:
    """List the devices the caller is logged in on, newest first."""
    wired = request.app.state.wired
    before = wired.cursors.read("sessions", cursor)
    found = await wired.devices.list(principal, before=before, limit=limit + 1)
    page: Page[SessionView] = wired.cursors.page(
        "sessions",
        found,
        limit,
        view=lambda session: SessionView.of(session, principal.session_id),
        identify=lambda session: session.id,
    )
    return page


@router.delete("", status_code=204, responses=personal())
async def end_other_sessions(request: Request, principal: Owner) -> None:
    """Log out everywhere but here."""
    await request.app.state.wired.devices.end_others(principal, origin_of(request, principal))


@router.delete("/{session_id}", status_code=204, responses=personal(NotFound))
async def end_session(session_id: str, request: Request, principal: Owner) -> None:
    """Log out one device; `current` is this one."""
    await request.app.state.wired.devices.end(principal, session_id, origin_of(request, principal))
