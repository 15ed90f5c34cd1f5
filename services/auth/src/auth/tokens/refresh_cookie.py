"""Refresh cookie: the refresh token of a browser session, which no script can read."""

import ipaddress
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from fastapi import Request, Response

from auth.errors import OAuthInvalidRequest

COOKIE, COOKIE_PATH = "parley_refresh", "/api/v1/auth"
CLIENT_HEADER, WEB_CLIENT = "X-Parley-Client", "web"
"""A page of another origin cannot send this header: it would need a preflight that allows it."""
DELIVERY, COOKIE_DELIVERY = "token_delivery", "cookie"
COOKIE_GRANTS = ("password", "refresh_token")
CLIENT_HEADER_DOCUMENT: dict[str, Any] = {
    "name": CLIENT_HEADER,
    "in": "header",
    "description": "Required to use the refresh cookie. It proves that the request comes from a page of this origin.",
    "schema": {"type": "string", "enum": [WEB_CLIENT]},
}


class RefreshCookie:
    """Reads, sets and clears the cookie, only for requests with the header of the web client."""

    def __init__(self, public_url: str) -> None:
        """``public_url`` is the URL that clients use. The cookie is Secure unless it is HTTP on this machine."""
        self._secure = not _is_local_http(public_url)

    def requested(self, request: Request, form: Mapping[str, str]) -> bool:
        """Return whether the tokens go into the cookie; raise OAuthInvalidRequest if they may not."""
        delivery = form.get(DELIVERY)
        if delivery is None:
            return False
        if delivery != COOKIE_DELIVERY:
            raise OAuthInvalidRequest(f"The parameter {DELIVERY} must be {COOKIE_DELIVERY}, or absent.")
        if not from_web_client(request):
            raise OAuthInvalidRequest(
                f"{DELIVERY}={COOKIE_DELIVERY} requires the header {CLIENT_HEADER}: {WEB_CLIENT}."
            )
        if form.get("grant_type") not in COOKIE_GRANTS:
            raise OAuthInvalidRequest(f"{DELIVERY}={COOKIE_DELIVERY} serves the grants {' and '.join(COOKIE_GRANTS)}.")
        return True

    def add_token(self, request: Request, form: Mapping[str, str]) -> dict[str, str]:
        """Return the form with the refresh token of the cookie; raise OAuthInvalidRequest if the body has one, too."""
        if form.get("grant_type") != "refresh_token":
            return dict(form)
        if "refresh_token" in form:
            raise OAuthInvalidRequest("The refresh token is in the cookie. Do not send it in the body, too.")
        return {**form, "refresh_token": self.read(request)}

    def read(self, request: Request) -> str:
        """Return the refresh token of the cookie; empty if there is none or the header is missing."""
        return request.cookies.get(COOKIE, "") if from_web_client(request) else ""

    def set(self, response: Response, token: str, lifetime: int) -> None:
        """Set the cookie for ``lifetime`` seconds."""
        response.set_cookie(
            COOKIE, token, max_age=lifetime, path=COOKIE_PATH, secure=self._secure, httponly=True, samesite="strict"
        )

    def clear(self, response: Response) -> None:
        """Clear the cookie."""
        response.delete_cookie(COOKIE, path=COOKIE_PATH, secure=self._secure, httponly=True, samesite="strict")


def from_web_client(request: Request) -> bool:
    """Return whether the request has the header of the web client."""
    return request.headers.get(CLIENT_HEADER) == WEB_CLIENT


def _is_local_http(url: str) -> bool:
    parts = urlsplit(url)
    if parts.scheme != "http":
        return False
    host = parts.hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
