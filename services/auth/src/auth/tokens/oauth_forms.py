"""Form-encoded requests of the OAuth2 routes, and their errors."""

import base64
import binascii
from typing import Any
from urllib.parse import parse_qsl, unquote

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from auth.errors import InvalidClient, OAuthError, OAuthInvalidRequest
from parley.errors import UnsupportedMediaType

FORM = "application/x-www-form-urlencoded"
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
MAX_FIELDS = 20


async def read_form(request: Request) -> dict[str, str]:
    """Return the parameters; raises UnsupportedMediaType or OAuthInvalidRequest."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != FORM:
        raise UnsupportedMediaType(FORM)
    body = await request.body()
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except (UnicodeError, ValueError):
        raise OAuthInvalidRequest("The form is malformed.") from None
    found = dict(pairs)
    if len(found) != len(pairs):
        raise OAuthInvalidRequest("A parameter is repeated.")
    if any("\x00" in value for value in found.values()):
        raise OAuthInvalidRequest("A parameter holds the NUL character.")
    return found


def client_credentials(request: Request, form: dict[str, str]) -> tuple[str | None, str | None]:
    """Return the client's id and secret, from HTTP Basic (RFC 6749, section 2.3.1) or the form."""
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return form.get("client_id") or None, form.get("client_secret")
    try:
        name, _, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        raise InvalidClient("The client's credentials are malformed.") from None
    if form.get("client_id", unquote(name)) != unquote(name):
        raise OAuthInvalidRequest("Two different clients are named.")
    return unquote(name) or None, unquote(secret)


def install_oauth_errors(app: FastAPI) -> None:
    """Let OAuthError answer in the form of RFC 6749."""

    async def answer(request: Request, error: Exception) -> Response:
        del request
        assert isinstance(error, OAuthError)
        headers = dict(NO_STORE)
        if isinstance(error, InvalidClient):
            headers["WWW-Authenticate"] = 'Basic realm="parley"'
        body = {"error": error.error, "error_description": error.description}
        return JSONResponse(body, status_code=error.status, headers=headers)

    app.add_exception_handler(OAuthError, answer)


def form_document(required: list[str], properties: dict[str, Any]) -> dict[str, Any]:
    """Return what the API document says about a form-encoded body."""
    schema = {"type": "object", "required": required, "properties": properties}
    return {"requestBody": {"required": True, "content": {FORM: {"schema": schema}}}}
