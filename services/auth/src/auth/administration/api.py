"""Administration routes: accounts and the audit log."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from auth.accounts.model import Status
from auth.accounts.schemas import UserView
from auth.administration.schemas import AdminUserBody, AuditView, NewUserBody, NewUserView
from auth.administration.service import AdminService
from auth.erasure.api import ERASURE_LOCATION, ERASURES_PATH
from auth.erasure.schemas import ErasureView
from auth.erasure.service import ErasureService
from auth.errors import AccountExists, LastAdmin, PasswordTooWeak
from auth.password_resets.schemas import ResetView
from auth.password_resets.service import PasswordResetService
from auth.security.scopes import ADMIN_SCOPE
from auth.sessions.schemas import SessionView
from auth.web.dependencies import provide
from auth.web.origin import Origins
from auth.web.pagination import DEFAULT_LIMIT, Cursor, Cursors, Limit
from auth.web.response_headers import NO_STORE
from parley.errors import (
    InvalidCursor,
    InvalidJson,
    NotFound,
    ReauthenticationRequired,
    UnsupportedMediaType,
    ValidationFailed,
)
from parley.security.identity import Principal, caller
from parley.web.app import JsonRoute
from parley.web.openapi import EXAMPLE_ID, location, problems
from parley.web.request_times import Moment
from parley.web.schemas import Page, Text

router = APIRouter(prefix="/api/v1/admin", route_class=JsonRoute, tags=["admin"])

Administrator = Annotated[Principal, Depends(caller(ADMIN_SCOPE))]
Filter = Annotated[Text | None, Query(max_length=256)]
_BODY = (InvalidJson, UnsupportedMediaType, ValidationFailed)
Service = Annotated[AdminService, Depends(provide(AdminService))]


@router.get("/users", responses=problems(InvalidCursor, ValidationFailed))
async def list_users(
    principal: Administrator,
    admin: Service,
    cursors: Cursors,
    q: Filter = None,
    status: Status | None = None,
    plan: Filter = None,
    scope: Filter = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[UserView]:
    """List accounts, newest first. `q` is the beginning of the user name or e-mail address."""
    del principal
    before = cursors.decode("users", cursor)
    found = await admin.search(text=q, status=status, plan=plan, scope=scope, before=before, limit=limit + 1)
    return cursors.page("users", found, limit, view=UserView.of)


@router.post(
    "/users",
    status_code=201,
    responses={
        201: {"headers": location("The account.", f"/api/v1/admin/users/{EXAMPLE_ID}")},
        **problems(*_BODY, AccountExists, PasswordTooWeak, ReauthenticationRequired),
    },
)
async def create_user(
    body: NewUserBody, request: Request, response: Response, principal: Administrator, admin: Service, origins: Origins
) -> NewUserView:
    """Create an account, even while registration is closed.

    Without `password`, the account is `invited`: its owner chooses a password through the link, which works once within
    seven days and is in this response only. Requires a login within the last five minutes. An API key may create
    accounts that are no administrators.
    """
    created = await admin.create(principal, body.account(), origins.resolve(request, principal))
    response.headers.update({**NO_STORE, "Location": f"/api/v1/admin/users/{created.user.id}"})
    return NewUserView.of(created)


@router.get("/users/{user_id}", responses=problems(NotFound))
async def get_user(user_id: str, principal: Administrator, admin: Service) -> UserView:
    """Return an account."""
    del principal
    return UserView.of(await admin.find(user_id))


@router.patch(
    "/users/{user_id}",
    responses=problems(*_BODY, NotFound, LastAdmin, AccountExists, ReauthenticationRequired),
)
async def change_user(
    user_id: str, body: AdminUserBody, request: Request, principal: Administrator, admin: Service, origins: Origins
) -> UserView:
    """Change the status, plan, scopes, display name or e-mail address of an account.

    An account whose owner never chose a password is `invited` again after it was disabled and enabled.

    Making an account an administrator and another e-mail address require a login within the last five minutes. An API
    key may change the address of accounts that are no administrators.
    """
    changed = await admin.change(
        principal,
        user_id,
        status=body.status,
        plan=body.plan,
        scopes=body.scopes,
        origin=origins.resolve(request, principal),
        profile=body.profile(),
    )
    return UserView.of(changed)


@router.delete(
    "/users/{user_id}",
    status_code=202,
    responses={202: {"headers": ERASURE_LOCATION}, **problems(NotFound, LastAdmin)},
)
async def erase_user(
    user_id: str,
    request: Request,
    response: Response,
    principal: Administrator,
    admin: Service,
    erasures: Annotated[ErasureService, Depends(provide(ErasureService))],
    origins: Origins,
) -> ErasureView:
    """Erase an account in every service."""
    user = await admin.find(user_id)
    erasure = await erasures.erase(user.id, origins.resolve(request, principal))
    response.headers["Location"] = f"{ERASURES_PATH}/{erasure.id}"
    return ErasureView.of(erasure)


@router.get("/users/{user_id}/sessions", responses=problems(InvalidCursor, ValidationFailed, NotFound))
async def list_user_sessions(
    user_id: str,
    principal: Administrator,
    admin: Service,
    cursors: Cursors,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[SessionView]:
    """List the live sessions of an account, newest first."""
    before = cursors.decode("user sessions", cursor)
    found = await admin.sessions(user_id, before=before, limit=limit + 1)
    return cursors.page("user sessions", found, limit, view=lambda each: SessionView.of(each, principal.session_id))


@router.delete("/users/{user_id}/sessions", status_code=204, responses=problems(NotFound))
async def end_user_sessions(
    user_id: str, request: Request, principal: Administrator, admin: Service, origins: Origins
) -> None:
    """End every session of an account."""
    await admin.end_sessions(user_id, origins.resolve(request, principal))


@router.delete("/users/{user_id}/sessions/{session_id}", status_code=204, responses=problems(NotFound))
async def end_user_session(
    user_id: str, session_id: str, request: Request, principal: Administrator, admin: Service, origins: Origins
) -> None:
    """End one session of an account."""
    await admin.end_session(user_id, session_id, origins.resolve(request, principal))


@router.post("/users/{user_id}/password-reset", status_code=201, responses=problems(NotFound, ReauthenticationRequired))
async def issue_password_reset(
    user_id: str,
    request: Request,
    response: Response,
    principal: Administrator,
    admin: Service,
    resets: Annotated[PasswordResetService, Depends(provide(PasswordResetService))],
    origins: Origins,
) -> ResetView:
    """Issue a password reset token that works once within an hour, for an invited account within seven days.

    Only this response contains it. `url` is the page on which the owner of the account uses it.

    Requires a login within the last five minutes. An API key may issue tokens for accounts that are no administrators.
    """
    user = await admin.find(user_id)
    admin.authorise_reset(principal, user)
    link = await resets.issue(user, origins.resolve(request, principal))
    response.headers.update(NO_STORE)
    return ResetView(reset_token=link.token, url=link.url, expires_at=link.expires_at)


@router.get("/audit", responses=problems(InvalidCursor, ValidationFailed))
async def read_audit(
    principal: Administrator,
    admin: Service,
    cursors: Cursors,
    actor: UUID | None = None,
    action: Filter = None,
    target: Filter = None,
    since: Annotated[Moment | None, Query(alias="from")] = None,
    until: Annotated[Moment | None, Query(alias="to")] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[AuditView]:
    """List audit log entries, newest first."""
    del principal
    filters = {"actor": actor, "action": action, "target": target, "from": since, "to": until}
    before = cursors.decode("audit", cursor)
    found = await admin.audit(filters, before=before, limit=limit + 1)
    return cursors.page("audit", found, limit, view=AuditView.of)
