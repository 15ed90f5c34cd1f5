"""Form-encoded OAuth2 requests: parsing, client credentials, and error responses (RFC 6749)."""

import base64
import binascii
from typing import Any
from urllib.parse import parse_qsl, unquote

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from auth.errors import InvalidClient, OAuthError, OAuthInvalidRequest
from auth.web.response_headers import NO_STORE
from parley.errors import UnsupportedMediaType

FORM_TYPE = "application/x-www-form-urlencoded"
MAX_FIELDS = 20


async def read_form(request: Request) -> dict[str, str]:
    """Return the parameters of a form-encoded body; raises UnsupportedMediaType or OAuthInvalidRequest."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != FORM_TYPE:
        raise UnsupportedMediaType(FORM_TYPE)
    body = await request.body()
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except (UnicodeError, ValueError):
        raise OAuthInvalidRequest("The form is malformed.") from None
    found = dict(pairs)
    if len(found) != len(pairs):
        raise OAuthInvalidRequest("A parameter is repeated. Send each parameter once.")
    if any("\x00" in value for value in found.values()):
        raise OAuthInvalidRequest("A parameter contains the NUL character.")
    return found


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


def form_document(required: list[str], properties: dict[str, Any]) -> dict[str, Any]:
    """Return the OpenAPI request body of a form-encoded route."""
    schema = {"type": "object", "required": required, "properties": properties}
    return {"requestBody": {"required": True, "content": {FORM_TYPE: {"schema": schema}}}}
