"""Routes of the caller's sessions."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from auth.security.scopes import ACCOUNT_SCOPE
from auth.sessions.schemas import SessionView
from auth.sessions.service import SessionService
from auth.web.dependencies import provide
from auth.web.origin import Origins
from auth.web.pagination import DEFAULT_LIMIT, Cursor, Cursors, Limit
from parley.errors import InvalidCursor, NotFound, ValidationFailed
from parley.security.identity import Principal, caller
from parley.web.app import JsonRoute
from parley.web.openapi import problems
from parley.web.schemas import Page

router = APIRouter(prefix="/api/v1/auth/sessions", route_class=JsonRoute, tags=["sessions"])

Service = Annotated[SessionService, Depends(provide(SessionService))]
Owner = Annotated[Principal, Depends(caller(ACCOUNT_SCOPE))]


@router.get("", responses=problems(InvalidCursor, ValidationFailed))
async def list_sessions(
    principal: Owner, sessions: Service, cursors: Cursors, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[SessionView]:
    """List the live sessions of the caller, newest first."""
    before = cursors.decode("sessions", cursor)
    found = await sessions.list(principal, before=before, limit=limit + 1)
    return cursors.page("sessions", found, limit, view=lambda each: SessionView.of(each, principal.session_id))


@router.delete("", status_code=204)
async def end_other_sessions(request: Request, principal: Owner, sessions: Service, origins: Origins) -> None:
    """End all sessions of the caller except the current one."""
    await sessions.end_others(principal, origins.resolve(request, principal))


@router.delete("/{session_id}", status_code=204, responses=problems(NotFound))
async def end_session(session_id: str, request: Request, principal: Owner, sessions: Service, origins: Origins) -> None:
    """End one session of the caller; `current` is the session of this request."""
    await sessions.end(principal, session_id, origins.resolve(request, principal))
