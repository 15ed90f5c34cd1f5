"""OAuth2: tokens, their revocation and introspection."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from auth.errors import LoginThrottled, OAuthInvalidRequest
from auth.tokens.grants import GRANT_TYPES, TokenRequest
from auth.tokens.oauth_forms import NO_STORE, client_credentials, form_document, read_form
from auth.tokens.schemas import IntrospectionView, TokenErrorView, TokenView
from auth.web.error_responses import Documented, personal, problems
from auth.web.origin import origin_of
from parley.errors import BodyTooLarge, UnsupportedMediaType
from parley.security.identity import Principal, caller

router = APIRouter(prefix="/api/v1/auth", tags=["tokens"])

_TEXT = {"type": "string"}
_GRANT_TYPE = {"type": "string", "enum": list(GRANT_TYPES)}
_PARAMETERS = ("username", "password", "refresh_token", "scope", "client_id", "client_secret")
_EXCHANGE = ("subject_token", "subject_token_type")
_TOKEN_FORM = form_document(
    ["grant_type"], {"grant_type": _GRANT_TYPE, **dict.fromkeys((*_PARAMETERS, *_EXCHANGE), _TEXT)}
)
_ONE_TOKEN = form_document(["token"], {"token": _TEXT, "token_type_hint": _TEXT})
_OAUTH_ERRORS: Documented = {
    400: {"model": TokenErrorView, "description": "An error in the form of RFC 6749"},
    401: {"model": TokenErrorView, "description": "`invalid_client`"},
}


@router.post(
    "/token",
    response_model=TokenView,
    openapi_extra=_TOKEN_FORM,
    responses={**problems(UnsupportedMediaType, LoginThrottled, BodyTooLarge), **_OAUTH_ERRORS},
)
async def token(request: Request) -> JSONResponse:
    """Get tokens for a password, a refresh token, an API key, or a service's own secret."""
    form = await read_form(request)
    client_id, client_secret = client_credentials(request, form)
    granted = await request.app.state.wired.grants.grant(
        TokenRequest(form, client_id, client_secret, origin_of(request))
    )
    view = TokenView(
        access_token=granted.access.token,
        expires_in=granted.access.expires_in,
        refresh_token=granted.refresh_token,
        refresh_expires_in=granted.refresh_expires_in,
        scope=" ".join(granted.scopes),
        issued_token_type=granted.issued_token_type,
    )
    return JSONResponse(view.model_dump(exclude_none=True), headers=NO_STORE)


@router.post(
    "/revoke",
    status_code=200,
    response_class=Response,
    openapi_extra=_ONE_TOKEN,
    responses={**problems(UnsupportedMediaType, BodyTooLarge), 400: _OAUTH_ERRORS[400]},
)
async def revoke(request: Request) -> Response:
    """Log out: end the session of a token (RFC 7009); an unknown token is no error."""
    form = await read_form(request)
    await request.app.state.wired.token_info.revoke(form.get("token", ""), origin_of(request))
    return Response(status_code=200, headers=NO_STORE)


@router.post(
    "/introspect",
    response_model=IntrospectionView,
    openapi_extra=_ONE_TOKEN,
    responses={**personal(UnsupportedMediaType, BodyTooLarge), 400: _OAUTH_ERRORS[400]},
)
async def introspect(request: Request, principal: Annotated[Principal, Depends(caller())]) -> JSONResponse:
    """Say what a token is good for (RFC 7662): your own, or any with the scope `admin`."""
    form = await read_form(request)
    if not form.get("token"):
        raise OAuthInvalidRequest("The parameter token is required.")
    found: dict[str, Any] = await request.app.state.wired.token_info.introspect(form["token"], principal)
    return JSONResponse(found, headers=NO_STORE)
