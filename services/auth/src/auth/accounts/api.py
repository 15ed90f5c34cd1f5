"""Accounts, as their owners see them."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from auth.accounts.schemas import PasswordBody, ProfileBody, RegisterBody, UserView
from auth.errors import AccountExists, LoginThrottled, PasswordTooWeak, RegistrationClosed
from auth.security.scopes import ACCOUNT
from auth.web.error_responses import personal, problems
from auth.web.origin import origin_of
from parley.errors import InvalidJson, UnsupportedMediaType, ValidationFailed
from parley.security.identity import Principal, caller
from parley.web.app import JsonRoute

router = APIRouter(prefix="/api/v1/auth", route_class=JsonRoute, tags=["accounts"])

Owner = Annotated[Principal, Depends(caller(ACCOUNT))]
_BODY = (InvalidJson, UnsupportedMediaType, ValidationFailed)


@router.post(
    "/register",
    status_code=201,
    responses=problems(*_BODY, PasswordTooWeak, AccountExists, RegistrationClosed),
)
async def register(body: RegisterBody, request: Request, response: Response) -> UserView:
    """Make an account; log in next."""
    user = await request.app.state.wired.accounts.register(
        username=body.username,
        email=body.email,
        display_name=body.display_name,
        password=body.password,
        origin=origin_of(request),
    )
    response.headers["Location"] = "/api/v1/auth/me"
    return UserView.of(user)


@router.get("/me", responses=personal())
async def me(request: Request, principal: Owner) -> UserView:
    """Return the account of the caller."""
    return UserView.of(await request.app.state.wired.accounts.me(principal))


@router.patch("/me", responses=personal(*_BODY, AccountExists))
async def change_me(body: ProfileBody, request: Request, principal: Owner) -> UserView:
    """Change the caller's name, e-mail address or display name."""
    accounts = request.app.state.wired.accounts
    return UserView.of(await accounts.change(principal, body.changes(), origin_of(request, principal)))


@router.post("/me/password", status_code=204, responses=personal(*_BODY, PasswordTooWeak, LoginThrottled))
async def change_password(body: PasswordBody, request: Request, principal: Owner) -> None:
    """Change the password; the other sessions end."""
    await request.app.state.wired.accounts.change_password(
        principal, body.current_password, body.new_password, origin_of(request, principal)
    )
