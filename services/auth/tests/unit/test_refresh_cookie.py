"""The refresh cookie: who may use it, and how the browser keeps it."""

from typing import Any

import pytest
from fastapi import Request, Response

from auth.errors import OAuthInvalidRequest
from auth.tokens.refresh_cookie import RefreshCookie

WEB = {"x-parley-client": "web"}
COOKIE = {"cookie": "other=1; parley_refresh=prt_secret"}
REFRESH = {"grant_type": "refresh_token", "token_delivery": "cookie"}


def request(headers: dict[str, str]) -> Request:
    scope: dict[str, Any] = {"type": "http", "headers": [(n.encode(), v.encode()) for n, v in headers.items()]}
    return Request(scope)


def set_by(public_url: str) -> str:
    response = Response()
    RefreshCookie(public_url).set(response, "prt_secret", 60)
    return response.headers["set-cookie"]


@pytest.mark.parametrize(
    ("public_url", "secure"),
    [
        ("http://localhost:8000", False),
        ("http://parley.localhost", False),
        ("http://127.0.0.1:8000", False),
        ("http://[::1]:8000", False),
        ("https://localhost", True),
        ("http://chat.example.org", True),
        ("http://localhost.example.org", True),
        ("https://chat.example.org", True),
    ],
)
def test_the_cookie_is_secure_except_over_http_on_this_machine(public_url: str, secure: bool) -> None:
    assert ("Secure" in set_by(public_url).split("; ")) == secure


def test_no_script_and_no_other_site_gets_the_cookie() -> None:
    parts = set_by("https://chat.example.org").split("; ")
    assert parts[0] == "parley_refresh=prt_secret"
    assert {part.lower() for part in parts[1:]} == {
        "httponly", "max-age=60", "path=/api/v1/auth", "samesite=strict", "secure",
    }  # fmt: skip


def test_a_refresh_takes_the_token_of_the_cookie() -> None:
    cookie, sent = RefreshCookie("http://localhost"), request(WEB | COOKIE)
    assert cookie.requested(sent, REFRESH)
    assert cookie.add_token(sent, REFRESH)["refresh_token"] == "prt_secret"


def test_without_the_header_of_the_web_client_the_cookie_is_not_read() -> None:
    cookie = RefreshCookie("http://localhost")
    with pytest.raises(OAuthInvalidRequest):
        cookie.requested(request(COOKIE), REFRESH)
    assert cookie.read(request(COOKIE)) == ""


@pytest.mark.parametrize(
    "form",
    [{"grant_type": "client_credentials", "token_delivery": "cookie"}, REFRESH | {"token_delivery": "header"}],
)
def test_other_grants_and_other_deliveries_are_refused(form: dict[str, str]) -> None:
    with pytest.raises(OAuthInvalidRequest):
        RefreshCookie("http://localhost").requested(request(WEB | COOKIE), form)


def test_a_token_in_the_body_beside_the_cookie_is_refused() -> None:
    with pytest.raises(OAuthInvalidRequest):
        RefreshCookie("http://localhost").add_token(request(WEB | COOKIE), REFRESH | {"refresh_token": "prt_other"})
