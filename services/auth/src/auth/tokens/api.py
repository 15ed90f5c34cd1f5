"""OAuth2 routes: the token endpoint, revocation and introspection."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from auth.errors import LoginThrottled, OAuthInvalidRequest
from auth.tokens.grants import GRANT_TYPES, GrantService, TokenRequest
from auth.tokens.introspection import TokenInspector
from auth.tokens.oauth_forms import client_credentials, form_document, read_form
from auth.tokens.refresh_cookie import (
    CLIENT_HEADER_DOCUMENT,
    COOKIE_DELIVERY,
    DELIVERY,
    RefreshCookie,
    from_web_client,
)
from auth.tokens.revocation_endpoint import TokenRevoker
from auth.tokens.schemas import IntrospectionView, TokenErrorView, TokenView
from auth.web.dependencies import provide
from auth.web.origin import Origins, came_through_gateway
from auth.web.response_headers import NO_STORE
from parley.errors import BodyTooLarge, UnsupportedMediaType
from parley.security.identity import Principal, caller
from parley.web.openapi import ResponseDocs, problems

router = APIRouter(prefix="/api/v1/auth", tags=["tokens"])

_TEXT = {"type": "string"}
_GRANT_TYPE = {"type": "string", "enum": list(GRANT_TYPES)}
_PARAMETERS = ("username", "password", "refresh_token", "scope", "client_id", "client_secret")
_EXCHANGE_PARAMETERS = ("subject_token", "subject_token_type")
_TOKEN_FORM = form_document(
    ["grant_type"],
    {
        "grant_type": _GRANT_TYPE,
        **dict.fromkeys((*_PARAMETERS, *_EXCHANGE_PARAMETERS), _TEXT),
        DELIVERY: {"type": "string", "enum": [COOKIE_DELIVERY]},
    },
    {"grant_type": "password", "username": "ada", "password": "correct horse battery staple"},  # nosec B105
)
_TOKEN_FIELDS = {"token": _TEXT, "token_type_hint": _TEXT}
_SINGLE_TOKEN_FORM = form_document(["token"], _TOKEN_FIELDS, {"token": "eyJ0eXAiOiJhdCtqd3QifQ.e30.c2ln"})  # nosec B105
_LOGOUT_FORM = form_document([], _TOKEN_FIELDS, {"token": "prt_Zk3hXw0cQ2mR7tVb9nYp"})  # nosec B105
_WEB_CLIENT = {"parameters": [CLIENT_HEADER_DOCUMENT]}
Cookie = Annotated[RefreshCookie, Depends(provide(RefreshCookie))]
_OAUTH_ERRORS: ResponseDocs = {
    400: {"model": TokenErrorView, "description": "An error in the form of RFC 6749"},
    401: {"model": TokenErrorView, "description": "`invalid_client`"},
}


@router.post(
    "/token",
    response_model=TokenView,
    openapi_extra=_TOKEN_FORM | _WEB_CLIENT,
    responses={**problems(UnsupportedMediaType, LoginThrottled, BodyTooLarge), **_OAUTH_ERRORS},
)
async def token(
    request: Request, grants: Annotated[GrantService, Depends(provide(GrantService))], cookie: Cookie, origins: Origins
) -> JSONResponse:
    """Issue tokens for a password, a refresh token, an API key, or the secret of a service.

    Browsers send `token_delivery=cookie` and `X-Parley-Client: web`: the refresh token then is in a cookie that no
    script can read, and not in the response.
    """
    form = await read_form(request)
    in_cookie = cookie.requested(request, form)
    if in_cookie:
        form = cookie.add_token(request, form)
    client_id, client_secret = client_credentials(request, form)
    token_request = TokenRequest(
        form, client_id, client_secret, origins.resolve(request), external=came_through_gateway(request)
    )
    granted = await grants.grant(token_request)
    view = TokenView(
        access_token=granted.access.token,
        expires_in=granted.access.expires_in,
        refresh_token=None if in_cookie else granted.refresh_token,
        refresh_expires_in=granted.refresh_expires_in,
        scope=" ".join(granted.scopes),
        issued_token_type=granted.issued_token_type,
    )
    response = JSONResponse(view.model_dump(exclude_none=True), headers=NO_STORE)
    if in_cookie and granted.refresh_token is not None:
        cookie.set(response, granted.refresh_token, granted.refresh_expires_in or 0)
    return response


@router.post(
    "/revoke",
    status_code=200,
    response_class=Response,
    openapi_extra=_LOGOUT_FORM | _WEB_CLIENT,
    responses={**problems(UnsupportedMediaType, BodyTooLarge), 400: _OAUTH_ERRORS[400]},
)
async def revoke(
    request: Request, revoker: Annotated[TokenRevoker, Depends(provide(TokenRevoker))], cookie: Cookie, origins: Origins
) -> Response:
    """Log out: end the session of a token (RFC 7009). An unknown token also returns 200.

    With `X-Parley-Client: web`, the token of the refresh cookie is revoked if the form has none, and the cookie is
    cleared.
    """
    form = await read_form(request)
    await revoker.revoke(form.get("token") or cookie.read(request), origins.resolve(request))
    response = Response(status_code=200, headers=NO_STORE)
    if from_web_client(request):
        cookie.clear(response)
    return response


@router.post(
    "/introspect",
    response_model=IntrospectionView,
    openapi_extra=_SINGLE_TOKEN_FORM,
    responses={**problems(UnsupportedMediaType, BodyTooLarge), 400: _OAUTH_ERRORS[400]},
)
async def introspect(
    request: Request,
    principal: Annotated[Principal, Depends(caller())],
    inspector: Annotated[TokenInspector, Depends(provide(TokenInspector))],
) -> JSONResponse:
    """Return the state of an access token (RFC 7662): your own, or any token with the scope `admin`."""
    form = await read_form(request)
    if not form.get("token"):
        raise OAuthInvalidRequest("The parameter token is required.")
    return JSONResponse(await inspector.introspect(form["token"], principal), headers=NO_STORE)
