"""Routes of the caller's account."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from auth.accounts.schemas import PasswordBody, ProfileBody, RegisterBody, UserView
from auth.accounts.service import AccountService
from auth.errors import AccountExists, LoginThrottled, PasswordTooWeak, RegistrationClosed
from auth.security.scopes import ACCOUNT_SCOPE
from auth.web.dependencies import provide
from auth.web.origin import Origins
from parley.errors import InvalidJson, ReauthenticationRequired, UnsupportedMediaType, ValidationFailed
from parley.security.identity import Principal, caller
from parley.web.app import JsonRoute
from parley.web.openapi import location, problems

router = APIRouter(prefix="/api/v1/auth", route_class=JsonRoute, tags=["accounts"])

Service = Annotated[AccountService, Depends(provide(AccountService))]
Owner = Annotated[Principal, Depends(caller(ACCOUNT_SCOPE))]
_BODY = (InvalidJson, UnsupportedMediaType, ValidationFailed)


@router.post(
    "/register",
    status_code=201,
    responses={
        201: {"headers": location("The account.", "/api/v1/auth/me")},
        **problems(*_BODY, PasswordTooWeak, AccountExists, RegistrationClosed),
    },
)
async def register(
    body: RegisterBody, request: Request, response: Response, accounts: Service, origins: Origins
) -> UserView:
    """Create an account. Log in afterwards to get tokens."""
    user = await accounts.register(
        username=body.username,
        email=body.email,
        display_name=body.display_name,
        password=body.password,
        origin=origins.resolve(request),
    )
    response.headers["Location"] = "/api/v1/auth/me"
    return UserView.of(user)


@router.get("/me")
async def me(principal: Owner, accounts: Service) -> UserView:
    """Return the account of the caller."""
    return UserView.of(await accounts.me(principal))


@router.patch("/me", responses=problems(*_BODY, AccountExists, ReauthenticationRequired))
async def change_me(
    body: ProfileBody, request: Request, principal: Owner, accounts: Service, origins: Origins
) -> UserView:
    """Change the user name, e-mail address or display name of the caller.

    Another e-mail address requires a login within the last five minutes.
    """
    return UserView.of(await accounts.change(principal, body.changes(), origins.resolve(request, principal)))


@router.post(
    "/me/password",
    status_code=204,
    responses=problems(*_BODY, PasswordTooWeak, LoginThrottled, ReauthenticationRequired),
)
async def change_password(
    body: PasswordBody, request: Request, principal: Owner, accounts: Service, origins: Origins
) -> None:
    """Change the password of the caller.

    All other sessions end, and unless `end_api_keys` is false, the API keys made since the password was last set.
    Requires a login within the last five minutes.
    """
    origin = origins.resolve(request, principal)
    await accounts.change_password(
        principal, body.current_password, body.new_password, origin, end_api_keys=body.end_api_keys
    )
