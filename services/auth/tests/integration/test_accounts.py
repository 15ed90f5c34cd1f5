"""Accounts over HTTP, on real backends."""

import json
from typing import Any

import pytest

from auth_testing.app import MakeSettings, RunningAuth, StartAuth

pytestmark = pytest.mark.integration

PASSWORD = "correct horse battery staple"
NEW_PASSWORD = "quite another long sentence"
REGISTER, ME = "/api/v1/auth/register", "/api/v1/auth/me"


def account(**members: Any) -> dict[str, Any]:
    return {"username": "ada", "email": "ada@example.org", "password": PASSWORD, **members}


@pytest.fixture
async def ada(auth: RunningAuth) -> dict[str, Any]:
    """The account `ada`, registered once for all tests of this module."""
    await auth.client.post(REGISTER, json=account())
    return account()


async def test_a_registered_person_logs_in_and_reads_their_account(auth: RunningAuth) -> None:
    person = await auth.person()
    found = await person.call("GET", ME)
    assert found.status_code == 200
    assert found.json()["username"] == person.username
    assert found.json()["last_login_at"] is not None
    assert found.json()["scopes"] == ["account", "chat:write", "events:read", "history:read", "history:write"]
    assert [name for name, _ in await auth.events(person.id)] == ["user.registered"]


async def test_registration_returns_the_account_and_its_location(auth: RunningAuth) -> None:
    made = await auth.client.post(
        REGISTER, json=account(username="Lovelace", email="al@Example.org", display_name="Ada")
    )
    assert made.status_code == 201
    assert made.headers["location"] == ME
    body = made.json()
    assert {k: body[k] for k in ("username", "email", "email_verified", "display_name", "status", "plan")} == {
        "username": "Lovelace",
        "email": "al@example.org",
        "email_verified": False,
        "display_name": "Ada",
        "status": "active",
        "plan": "default",
    }
    assert set(body) == {
        *("id", "username", "email", "email_verified", "display_name", "status", "plan", "scopes"),
        *("created_at", "updated_at", "last_login_at"),
    }


@pytest.mark.parametrize(
    "other",
    [
        account(username="ADA", email="other@example.org"),
        account(username="\uff41\uff44\uff41", email="other@example.org"),
        account(username="other", email="ADA@Example.ORG"),
    ],
)
async def test_a_name_or_address_is_taken_in_any_spelling(
    auth: RunningAuth, ada: dict[str, Any], other: dict[str, Any]
) -> None:
    refused = await auth.client.post(REGISTER, json=other)
    assert (refused.status_code, refused.json()["code"]) == (409, "account_exists")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (account(scopes=["admin"]), "/scopes"),
        (account(is_admin=True), "/is_admin"),
        (account(username=""), "/username"),
        (account(username="two words"), "/username"),
        (account(username="has\u0000nul"), "/username"),
        (account(username="p\u0430ypal"), "/username"),
        (account(email="nowhere"), "/email"),
        (account(password=None), "/password"),
        (account(password="a" * 1025), "/password"),
        (account(password="\ud800" + PASSWORD), "/password"),
        ({"username": "ada"}, "/password"),
    ],
)
async def test_an_invalid_member_is_named_and_its_value_is_not_echoed(
    auth: RunningAuth, body: dict[str, Any], pointer: str
) -> None:
    before = await auth.rows("SELECT count(*) FROM users")
    refused = await auth.client.post(REGISTER, content=json.dumps(body), headers={"content-type": "application/json"})
    assert refused.status_code == 422, refused.text
    assert await auth.rows("SELECT count(*) FROM users") == before
    assert pointer in [error["pointer"] for error in refused.json()["errors"]]
    assert PASSWORD not in refused.text
    assert (
        await auth.rows(
            "SELECT id FROM users WHERE username_key <> ALL (ARRAY['ada', 'lovelace']) AND email_key IS NULL"
        )
        == []
    )


@pytest.mark.parametrize(
    "password",
    ["short", "password1234", "123456789012", "abcabcabcabc", "ada@example.org", "q1w2e3r4t5y6"],
)
async def test_a_weak_password_is_refused_with_the_reason(auth: RunningAuth, password: str) -> None:
    refused = await auth.client.post(REGISTER, json=account(password=password))
    assert (refused.status_code, refused.json()["code"]) == (422, "password_too_weak")
    assert refused.json()["errors"][0]["pointer"] == "/password"


async def test_passwords_accept_any_characters_in_both_unicode_forms(auth: RunningAuth) -> None:
    composed, decomposed = "Bär und Hörnchen 你好", "Ba\u0308r und Ho\u0308rnchen 你好"
    await auth.client.post(REGISTER, json=account(username="bea", email="bea@example.org", password=composed))
    form = {"grant_type": "password", "username": "BEA@example.org", "password": decomposed}
    assert (await auth.client.post("/api/v1/auth/token", data=form)).status_code == 200


async def test_a_closed_registration_is_refused(make_settings: MakeSettings, start: StartAuth) -> None:
    async with start(await make_settings(registration="closed")) as auth:
        refused = await auth.client.post(REGISTER, json=account())
    assert (refused.status_code, refused.json()["code"]) == (403, "registration_closed")


async def test_a_body_that_is_not_json_is_refused(auth: RunningAuth) -> None:
    broken = await auth.client.post(REGISTER, content=b"{", headers={"content-type": "application/json"})
    form = await auth.client.post(REGISTER, data={"username": "ada"})
    assert (broken.status_code, broken.json()["code"]) == (400, "invalid_json")
    assert (form.status_code, form.json()["code"]) == (415, "unsupported_media_type")


async def test_people_change_their_profile(auth: RunningAuth) -> None:
    person = await auth.person()
    changed = await person.call("PATCH", ME, json={"display_name": "Ada L.", "email": None})
    assert changed.status_code == 200
    assert (changed.json()["display_name"], changed.json()["email"]) == ("Ada L.", None)
    name, data = (await auth.events(person.id))[-1]
    assert (name, data["changed"]) == ("user.updated", ["email", "display_name"])


async def test_a_profile_cannot_take_the_name_of_another_account(auth: RunningAuth) -> None:
    first, second = await auth.person(), await auth.person()
    refused = await second.call("PATCH", ME, json={"username": first.username.upper()})
    assert (refused.status_code, refused.json()["code"]) == (409, "account_exists")
    assert (await second.call("PATCH", ME, json={"plan": "gold"})).status_code == 422


async def test_a_new_password_ends_the_other_sessions_and_keeps_this_one(auth: RunningAuth) -> None:
    here = await auth.person()
    there = await here.other_login()
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    assert (await here.call("POST", f"{ME}/password", json=body)).status_code == 204
    assert (await here.call("GET", ME)).status_code == 200
    refused = await there.call("GET", ME)
    assert (refused.status_code, refused.json()["code"]) == (401, "session_revoked")
    assert (await there.refresh()).json()["error"] == "invalid_grant"
    assert (await there.login(PASSWORD)).json()["error"] == "invalid_grant"
    assert (await there.login(NEW_PASSWORD)).status_code == 200


async def test_a_new_password_requires_the_current_one_and_must_be_strong(auth: RunningAuth) -> None:
    person = await auth.person()
    wrong = await person.call("POST", f"{ME}/password", json={"current_password": "x", "new_password": NEW_PASSWORD})
    weak = await person.call("POST", f"{ME}/password", json={"current_password": PASSWORD, "new_password": "short"})
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/current_password")
    assert (weak.json()["code"], weak.json()["errors"][0]["pointer"]) == ("password_too_weak", "/new_password")


async def test_a_reset_token_of_an_administrator_sets_a_new_password_once(auth: RunningAuth) -> None:
    admin, person = await auth.person(admin=True), await auth.person()
    issued = await admin.call("POST", f"/api/v1/admin/users/{person.id}/password-reset")
    assert issued.status_code == 201
    assert issued.headers["cache-control"] == "no-store"
    body = {"reset_token": issued.json()["reset_token"], "new_password": NEW_PASSWORD}
    assert body["reset_token"].startswith("prs_")
    assert (await auth.client.post("/api/v1/auth/password-reset", json=body)).status_code == 204
    again = await auth.client.post("/api/v1/auth/password-reset", json=body)
    assert (again.status_code, again.json()["errors"][0]["pointer"]) == (422, "/reset_token")
    assert (await person.call("GET", ME)).json()["code"] == "session_revoked"
    assert (await person.login(NEW_PASSWORD)).status_code == 200
    stored = await auth.rows("SELECT action FROM audit_log WHERE target_id = $1 ORDER BY id", person.id)
    assert [row["action"] for row in stored] == ["user.registered", "password_reset.issued", "password.reset"]
