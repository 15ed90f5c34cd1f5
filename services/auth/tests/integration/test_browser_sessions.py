"""Browser sessions: the refresh token in a cookie that no script can read."""

from http.cookies import SimpleCookie

import pytest

from auth_testing.app import PASSWORD, RunningAuth

pytestmark = pytest.mark.integration

TOKEN, REVOKE = "/api/v1/auth/token", "/api/v1/auth/revoke"
HINT = {"token_type_hint": "refresh_token"}
WEB = {"X-Parley-Client": "web"}
REFRESH = {"grant_type": "refresh_token", "token_delivery": "cookie"}


async def log_in(auth: RunningAuth) -> str:
    """Log in as a browser does, and return its cookie."""
    person = await auth.person()
    form = {"grant_type": "password", "username": person.username, "password": PASSWORD, "token_delivery": "cookie"}
    found = await auth.client.post(TOKEN, data=form, headers=WEB)
    assert found.status_code == 200
    assert "refresh_token" not in found.json()
    assert found.json()["refresh_expires_in"] > 0
    return cookie_of(found.headers["set-cookie"])


def cookie_of(header: str) -> str:
    (morsel,) = SimpleCookie(header).values()
    return f"{morsel.key}={morsel.value}"


async def test_the_cookie_rotates_with_each_refresh_and_stays_out_of_the_body(auth: RunningAuth) -> None:
    first = await log_in(auth)
    found = await auth.client.post(TOKEN, data=REFRESH, headers={**WEB, "cookie": first})
    assert found.status_code == 200
    assert "prt_" not in found.text
    second = cookie_of(found.headers["set-cookie"])
    assert second not in {first, "parley_refresh="}


async def test_logging_out_ends_the_session_of_the_cookie_and_clears_it(auth: RunningAuth) -> None:
    cookie = await log_in(auth)
    found = await auth.client.post(REVOKE, data=HINT, headers={**WEB, "cookie": cookie})
    assert (found.status_code, cookie_of(found.headers["set-cookie"])) == (200, "parley_refresh=")
    refused = await auth.client.post(TOKEN, data=REFRESH, headers={**WEB, "cookie": cookie})
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")


async def test_a_form_of_another_site_neither_refreshes_nor_logs_out(auth: RunningAuth) -> None:
    cookie = await log_in(auth)
    refused = await auth.client.post(TOKEN, data=REFRESH, headers={"cookie": cookie})
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")
    ignored = await auth.client.post(REVOKE, data=HINT, headers={"cookie": cookie})
    assert (ignored.status_code, "set-cookie" in ignored.headers) == (200, False)
    assert (await auth.client.post(TOKEN, data=REFRESH, headers={**WEB, "cookie": cookie})).status_code == 200


async def test_other_clients_get_no_cookie(auth: RunningAuth) -> None:
    person = await auth.person()
    found = await person.login()
    assert "set-cookie" not in found.headers
    assert found.json()["refresh_token"].startswith("prt_")
