"""Form-encoded OAuth2 requests: parsing, client credentials, and error responses (RFC 6749)."""

import base64
import binascii
from typing import Any
from urllib.parse import parse_qsl, unquote

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from auth.errors import InvalidClient, OAuthError, OAuthInvalidRequest
from auth.security.identifiers import MAX_LOGIN_LENGTH
from auth.security.password_policy import MAX_LENGTH as MAX_PASSWORD_LENGTH
from auth.web.response_headers import NO_STORE
from parley.errors import BodyTooLarge, UnsupportedMediaType
from parley.security.tokens import MAX_TOKEN_LENGTH

FORM_TYPE = "application/x-www-form-urlencoded"
MAX_FIELDS = 20
MAX_FORM_BYTES = 65_536
"""Maximum length of a form in bytes; checked while it is received, before it is decoded."""
MAX_SCOPE_LENGTH = 1024
MAX_FIELD_LENGTHS = {"username": MAX_LOGIN_LENGTH, "password": MAX_PASSWORD_LENGTH, "scope": MAX_SCOPE_LENGTH}
"""Maximum lengths of parameters in characters; every other one has ``MAX_TOKEN_LENGTH``."""


async def read_form(request: Request) -> dict[str, str]:
    """Return the parameters of a form-encoded body. An empty body needs no content type, as of a log-out by cookie.

    Every length is checked before the parameter is used. Raises UnsupportedMediaType, BodyTooLarge or
    OAuthInvalidRequest.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in (FORM_TYPE, ""):
        raise UnsupportedMediaType(FORM_TYPE)
    body = await _read_body(request)
    if body and not media_type:
        raise UnsupportedMediaType(FORM_TYPE)
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except (UnicodeError, ValueError):
        raise OAuthInvalidRequest("The form is malformed.") from None
    found = dict(pairs)
    if len(found) != len(pairs):
        raise OAuthInvalidRequest("A parameter is repeated. Send each parameter once.")
    if any("\x00" in value for value in found.values()):
        raise OAuthInvalidRequest("A parameter contains the NUL character.")
    _check_lengths(found)
    return found


async def _read_body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            raise BodyTooLarge(f"The form is too large: at most {MAX_FORM_BYTES} bytes are accepted.")
    return bytes(body)


def _check_lengths(form: dict[str, str]) -> None:
    for name, value in form.items():
        allowed = MAX_FIELD_LENGTHS.get(name, MAX_TOKEN_LENGTH)
        if len(value) > allowed:
            known = f"The parameter {name}" if name in MAX_FIELD_LENGTHS else "A parameter"
            raise OAuthInvalidRequest(f"{known} is too long: at most {allowed} characters are accepted.")


def client_credentials(request: Request, form: dict[str, str]) -> tuple[str | None, str | None]:
    """Return the client id and secret, from HTTP Basic (RFC 6749, section 2.3.1) or from the form."""
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return form.get("client_id") or None, form.get("client_secret")
    try:
        name, _, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        raise InvalidClient("The client credentials in `Authorization` are malformed.") from None
    if form.get("client_id", unquote(name)) != unquote(name):
        raise OAuthInvalidRequest("`Authorization` and the parameter client_id name different clients.")
    return unquote(name) or None, unquote(secret)


def install_oauth_errors(app: FastAPI) -> None:
    """Make the app answer OAuthError in the form of RFC 6749, section 5.2."""

    async def respond(request: Request, error: Exception) -> Response:
        del request
        assert isinstance(error, OAuthError)
        headers = dict(NO_STORE)
        if isinstance(error, InvalidClient):
            headers["WWW-Authenticate"] = 'Basic realm="parley"'
        body = {"error": error.error, "error_description": error.description}
        return JSONResponse(body, status_code=error.status, headers=headers)

    app.add_exception_handler(OAuthError, respond)


def form_document(required: list[str], properties: dict[str, Any], example: dict[str, str]) -> dict[str, Any]:
    """Return the OpenAPI request body of a form-encoded route."""
    schema = {"type": "object", "required": required, "properties": properties}
    return {"requestBody": {"required": True, "content": {FORM_TYPE: {"schema": schema, "example": example}}}}
