"""API key routes and the exchange of keys for access tokens."""

import hashlib
from datetime import UTC, datetime, timedelta

import httpx2
import jwt
import pytest

from auth_testing.app import RunningAuth

pytestmark = pytest.mark.integration

KEYS, TOKEN = "/api/v1/auth/api-keys", "/api/v1/auth/token"
EXCHANGE = {
    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
    "subject_token_type": "urn:parley:params:oauth:token-type:api-key",
}


async def exchange(auth: RunningAuth, key: str, **form: str) -> httpx2.Response:
    return await auth.client.post(TOKEN, data={**EXCHANGE, "subject_token": key, **form})


async def test_a_key_is_shown_once_and_stored_as_a_digest(auth: RunningAuth) -> None:
    person = await auth.person()
    made = await person.call("POST", KEYS, json={"name": "ci"})
    body = made.json()
    assert made.status_code == 201
    assert made.headers["location"] == f"{KEYS}/{body['id']}"
    assert made.headers["cache-control"] == "no-store"
    assert (body["name"], body["scopes"]) == ("ci", ["chat:write"])
    lifetime = datetime.fromisoformat(body["expires_at"]) - datetime.fromisoformat(body["created_at"])
    assert lifetime == timedelta(days=90)
    assert len(body["key"]) == 7 + 32 + 6
    assert body["prefix"] == body["key"][:14]
    listed = (await person.call("GET", KEYS)).json()["data"]
    assert listed == [{**body, "key": None}]
    rows = await auth.rows("SELECT digest FROM api_keys WHERE id = $1", body["id"])
    assert rows[0]["digest"] == hashlib.sha256(body["key"].encode()).digest()


async def test_a_key_is_exchanged_for_a_short_token(auth: RunningAuth) -> None:
    person = await auth.person()
    made = (await person.call("POST", KEYS, json={"name": "ci", "scopes": ["chat:write", "history:read"]})).json()
    found = (await exchange(auth, made["key"])).json()
    claims = jwt.decode(found["access_token"], options={"verify_signature": False})
    assert (claims["sid"], claims["client_id"], claims["sub"]) == (made["id"], "api-key", person.id)
    assert (claims["scope"], found["expires_in"]) == ("chat:write history:read", 900)
    assert "auth_time" not in claims
    assert "refresh_token" not in found
    assert found["issued_token_type"] == "urn:ietf:params:oauth:token-type:access_token"
    assert (await exchange(auth, made["key"], scope="history:read")).json()["scope"] == "history:read"
    assert (await exchange(auth, made["key"], scope="account")).json()["error"] == "invalid_scope"
    assert (await person.call("GET", KEYS)).json()["data"][0]["last_used_at"] is not None


async def test_a_key_cannot_manage_the_account(auth: RunningAuth) -> None:
    person = await auth.person()
    assert (await person.call("POST", KEYS, json={"name": "ci", "scopes": ["account"]})).status_code == 422
    assert (await person.call("POST", KEYS, json={"name": "ci", "scopes": ["admin"]})).status_code == 422
    assert (await person.call("POST", KEYS, json={"name": "ci", "scopes": []})).status_code == 422
    made = (await person.call("POST", KEYS, json={"name": "ci"})).json()
    person.tokens = (await exchange(auth, made["key"])).json()
    assert (await person.call("GET", KEYS)).status_code == 403
    assert (await person.call("GET", "/api/v1/auth/me")).status_code == 403
    assert (await person.call("POST", KEYS, json={"name": "another"})).status_code == 403
    assert (await person.call("DELETE", "/api/v1/auth/me")).status_code == 403


async def test_a_deleted_key_and_its_tokens_stop_working_at_once(auth: RunningAuth) -> None:
    person = await auth.person()
    made = (await person.call("POST", KEYS, json={"name": "ci"})).json()
    token = (await exchange(auth, made["key"])).json()["access_token"]
    assert (await person.call("DELETE", f"{KEYS}/{made['id']}")).status_code == 204
    assert (await person.call("DELETE", f"{KEYS}/{made['id']}")).status_code == 404
    assert (await exchange(auth, made["key"])).json()["error"] == "invalid_grant"
    found = await auth.client.get("/api/v1/auth/me", headers={"Authorization": f"Bearer {token}"})
    assert found.json()["code"] == "session_revoked"
    name, data = (await auth.events(person.id))[-1]
    assert (name, data["api_key_id"]) == ("apikey.revoked", made["id"])


async def test_a_key_expires_and_its_tokens_expire_with_it(auth: RunningAuth) -> None:
    person = await auth.person()
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    assert (await person.call("POST", KEYS, json={"name": "ci", "expires_at": past})).status_code == 422
    soon = (datetime.now(UTC) + timedelta(seconds=60)).isoformat()
    made = (await person.call("POST", KEYS, json={"name": "ci", "expires_at": soon})).json()
    assert (await exchange(auth, made["key"])).json()["expires_in"] <= 60
    await auth.rows("UPDATE api_keys SET expires_at = now() WHERE id = $1 RETURNING id", made["id"])
    assert (await exchange(auth, made["key"])).json()["error"] == "invalid_grant"


async def test_a_key_with_a_typing_error_is_refused_without_the_database(auth: RunningAuth) -> None:
    person = await auth.person()
    key = (await person.call("POST", KEYS, json={"name": "ci"})).json()["key"]
    mistyped = key[:20] + ("a" if key[20] != "a" else "b") + key[21:]
    before = await auth.rows("SELECT last_used_at FROM api_keys")
    for wrong in (mistyped, key[:-1], key + "0", key.upper(), "parley_", "x" * 45, "parley_" + "é" * 38):
        assert (await exchange(auth, wrong)).json()["error"] == "invalid_grant"
    assert await auth.rows("SELECT last_used_at FROM api_keys") == before


async def test_the_key_of_a_disabled_account_is_refused(auth: RunningAuth) -> None:
    person = await auth.person()
    key = (await person.call("POST", KEYS, json={"name": "ci"})).json()["key"]
    await auth.rows("UPDATE users SET status = 'disabled' WHERE username = $1 RETURNING id", person.username)
    assert (await exchange(auth, key)).json()["error"] == "invalid_grant"


async def test_an_old_login_makes_no_key_that_lasts_or_reads(auth: RunningAuth) -> None:
    person = await auth.person()
    await auth.rows(
        "UPDATE sessions SET auth_time = now() - interval '10 minutes' WHERE id = $1 RETURNING id", person.claims["sid"]
    )
    person.tokens = (await person.refresh()).json()
    for members in ({"expires_at": None}, {"scopes": ["chat:write", "history:read"]}):
        refused = await person.call("POST", KEYS, json={"name": "ci", **members})
        assert (refused.status_code, refused.json()["code"]) == (401, "reauthentication_required")
    assert (await person.call("POST", KEYS, json={"name": "ci"})).status_code == 201
    await person.login()
    made = await person.call("POST", KEYS, json={"name": "ci", "expires_at": None})
    assert (made.status_code, made.json()["expires_at"]) == (201, None)


async def test_a_replayed_request_creates_no_second_key(auth: RunningAuth) -> None:
    person = await auth.person()
    headers = {"Idempotency-Key": "once"}
    first = await person.call("POST", KEYS, json={"name": "ci"}, headers=headers)
    again = await person.call("POST", KEYS, json={"name": "ci"}, headers=headers)
    assert (again.status_code, again.headers["idempotency-replayed"]) == (201, "true")
    assert again.json() == {**first.json(), "key": None}
    other = await person.call("POST", KEYS, json={"name": "other"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert len((await person.call("GET", KEYS)).json()["data"]) == 1
    stranger = await auth.person()
    assert (await stranger.call("POST", KEYS, json={"name": "ci"}, headers=headers)).json()["key"]


@pytest.mark.parametrize(
    "moment", [0.5, 4102444800, "4102444800", "2030-01-01", "2030-01-01T00:00:00", "9999-12-31T23:59:59-14:00", "soon"]
)
async def test_an_invalid_expiry_is_refused(auth: RunningAuth, moment: object) -> None:
    person = await auth.person()
    refused = await person.call("POST", KEYS, json={"name": "ci", "expires_at": moment})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/expires_at")
