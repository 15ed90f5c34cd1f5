"""Administration: accounts and the audit log."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from auth.accounts.schemas import UserView
from auth.administration.schemas import AdminUserBody, AuditView
from auth.erasure.api import PATH as ERASURES
from auth.erasure.schemas import ErasureView
from auth.errors import LastAdmin
from auth.model import Status
from auth.password_resets.schemas import ResetView
from auth.security.scopes import ADMIN
from auth.tokens.oauth_forms import NO_STORE
from auth.web.error_responses import personal
from auth.web.fields import Moment
from auth.web.origin import origin_of
from auth.web.pagination import DEFAULT_LIMIT, Cursor, Limit
from parley.errors import InvalidCursor, InvalidJson, NotFound, UnsupportedMediaType, ValidationFailed
from parley.security.identity import Principal, caller
from parley.web.app import JsonRoute
from parley.web.schemas import Page, Text

router = APIRouter(prefix="/api/v1/admin", route_class=JsonRoute, tags=["admin"])

Administrator = Annotated[Principal, Depends(caller(ADMIN))]
Filter = Annotated[Text | None, Query(max_length=256)]


@router.get("/users", responses=personal(InvalidCursor, ValidationFailed))
async def list_users(
    request: Request,
    principal: Administrator,
    q: Filter = None,
    status: Status | None = None,
    plan: Filter = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[UserView]:
    """Find accounts by a part of their name or e-mail address, newest first."""
    del principal
    wired = request.app.state.wired
    before = wired.cursors.read("users", cursor)
    found = await wired.admin.search(text=q, status=status, plan=plan, before=before, limit=limit + 1)
    page: Page[UserView] = wired.cursors.page("users", found, limit, view=UserView.of, identify=lambda user: user.id)
    return page


@router.get("/users/{user_id}", responses=personal(NotFound))
async def get_user(user_id: str, request: Request, principal: Administrator) -> UserView:
    """Return an account."""
    del principal
    return UserView.of(await request.app.state.wired.admin.find(user_id))


@router.patch(
    "/users/{user_id}",
    responses=personal(InvalidJson, UnsupportedMediaType, ValidationFailed, NotFound, LastAdmin),
)
async def change_user(user_id: str, body: AdminUserBody, request: Request, principal: Administrator) -> UserView:
    """Disable or enable an account, change its plan or scopes."""
    changed = await request.app.state.wired.admin.change(
        user_id,
        status=body.status,
        plan=body.plan,
        scopes=body.scopes,
        origin=origin_of(request, principal),
    )
    return UserView.of(changed)


@router.delete("/users/{user_id}", status_code=202, responses=personal(NotFound, LastAdmin))
async def erase_user(user_id: str, request: Request, response: Response, principal: Administrator) -> ErasureView:
    """Erase a person everywhere."""
    wired = request.app.state.wired
    user = await wired.admin.find(user_id)
    erasure = await wired.erasures.erase(user.id, origin_of(request, principal))
    response.headers["Location"] = f"{ERASURES}/{erasure.id}"
    return ErasureView.of(erasure)


@router.delete("/users/{user_id}/sessions", status_code=204, responses=personal(NotFound))
async def end_user_sessions(user_id: str, request: Request, principal: Administrator) -> None:
    """Log a person out everywhere."""
    await request.app.state.wired.admin.end_sessions(user_id, origin_of(request, principal))


@router.post("/users/{user_id}/password-reset", status_code=201, responses=personal(NotFound))
async def issue_password_reset(
    user_id: str, request: Request, response: Response, principal: Administrator
) -> ResetView:
    """Make a token with which the person can set a new password within an hour; shown this once."""
    wired = request.app.state.wired
    user = await wired.admin.find(user_id)
    token, expires_at = await wired.resets.issue(user.id, origin_of(request, principal))
    response.headers.update(NO_STORE)
    return ResetView(reset_token=token, expires_at=expires_at)


@router.get("/audit", responses=personal(InvalidCursor, ValidationFailed))
async def read_audit(
    request: Request,
    principal: Administrator,
    actor: UUID | None = None,
    action: Filter = None,
    target: Filter = None,
    since: Annotated[Moment | None, Query(alias="from")] = None,
    until: Annotated[Moment | None, Query(alias="to")] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[AuditView]:
    """Read who did what to whom, newest first."""
    del principal
    wired = request.app.state.wired
    filters = {"actor": actor, "action": action, "target": target, "from": since, "to": until}
    before = wired.cursors.read("audit", cursor)
    found = await wired.admin.audit(filters, before=before, limit=limit + 1)
    page: Page[AuditView] = wired.cursors.page(
        "audit", found, limit, view=AuditView.of, identify=lambda entry: entry.id
    )
    return page
