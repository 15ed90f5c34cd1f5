"""Accounts that administrators make, over HTTP and PostgreSQL."""

import pytest

from auth_testing.app import MakeSettings, Person, StartAuth

pytestmark = pytest.mark.integration

USERS = "/api/v1/admin/users"


async def test_an_administrator_adds_a_person_while_registration_is_closed(
    make_settings: MakeSettings, start: StartAuth
) -> None:
    dsn = (await make_settings()).database_url.get_secret_value()
    async with start(await make_settings(database_url=dsn)) as auth:
        admin = await auth.person(admin=True)
    async with start(await make_settings(database_url=dsn, registration="closed")) as auth:
        admin.client = auth.client
        body = {"username": "ada", "email": "ada@example.org"}
        made = await admin.call("POST", USERS, json={**body, "display_name": "Ada", "plan": "default"})
        assert made.status_code == 201, made.text
        user, invitation = made.json()["user"], made.json()["invitation"]
        assert (user["status"], user["display_name"], made.headers["cache-control"]) == ("invited", "Ada", "no-store")
        assert made.headers["location"] == f"{USERS}/{user['id']}"
        page, _, token = invitation["url"].partition("#token=")
        assert page == "http://localhost:8000/reset"
        invited = (await admin.call("GET", USERS, params={"status": "invited", "scope": "chat:write"})).json()["data"]
        assert [each["id"] for each in invited] == [user["id"]]
        chosen = {"reset_token": token, "new_password": "quite another long sentence"}
        assert (await auth.client.post("/api/v1/auth/password-reset", json=chosen)).status_code == 204
        ada = Person(auth.client, "ada")
        assert (await ada.login("quite another long sentence")).status_code == 200
        again = await admin.call("POST", USERS, json=body)
        assert (again.status_code, again.json()["code"]) == (409, "account_exists")
        for wrong in ({"username": "bea"}, {**body, "username": "bea", "scopes": ["internal"]}):
            assert (await admin.call("POST", USERS, json=wrong)).status_code == 422
        (session,) = (await admin.call("GET", f"{USERS}/{user['id']}/sessions")).json()["data"]
        assert (session["id"], session["current"]) == (ada.claims["sid"], False)
        reset = (await admin.call("POST", f"{USERS}/{user['id']}/password-reset")).json()
        assert reset["url"] == f"{page}#token={reset['reset_token']}"
