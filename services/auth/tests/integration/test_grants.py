"""The token endpoint: grants, and errors in the form of RFC 6749."""

import base64
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

import jwt
import pytest

from auth_testing.app import MakeSettings, Person, RunningAuth, StartAuth

pytestmark = pytest.mark.integration

PASSWORD = "correct horse battery staple"
TOKEN = "/api/v1/auth/token"
GATEWAY = "parley-gateway"
LOGIN = {"grant_type": "password", "username": "a", "password": "b"}
SERVICE = {"grant_type": "client_credentials"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
GATEWAY_SECRET = "gateway-secret-" + "x" * 32


async def test_a_login_returns_tokens_that_must_not_be_cached(auth: RunningAuth) -> None:
    person = await auth.person()
    found = await person.login()
    body = found.json()
    assert found.headers["cache-control"] == "no-store"
    assert body["token_type"] == "Bearer"
    assert (body["expires_in"], body["refresh_expires_in"]) == (900, 2_592_000)
    assert body["refresh_token"].startswith("prt_")
    assert body["scope"] == "account chat:write events:read history:read history:write"
    assert set(body) == {*("access_token", "token_type", "expires_in", "refresh_token", "refresh_expires_in", "scope")}


async def test_the_access_token_has_the_claims_of_the_contract(auth: RunningAuth) -> None:
    person = await auth.person()
    token = person.tokens["access_token"]
    header, claims = jwt.get_unverified_header(token), person.claims
    assert set(header) == {"alg", "typ", "kid"}
    assert (header["alg"], header["typ"]) == ("EdDSA", "at+jwt")
    assert set(claims) == {
        *("iss", "aud", "sub", "client_id", "sid", "jti", "iat", "auth_time", "exp", "scope", "plan")
    }
    assert (claims["iss"], claims["aud"], claims["client_id"]) == ("http://localhost:8000", "parley", "parley-web")
    assert (claims["sub"], claims["exp"] - claims["iat"], claims["plan"]) == (person.id, 900, "default")


async def test_the_published_keys_verify_the_token(auth: RunningAuth) -> None:
    person = await auth.person()
    found = await auth.client.get("/.well-known/jwks.json")
    keys = jwt.PyJWKSet.from_dict(found.json())
    token = person.tokens["access_token"]
    key = keys[jwt.get_unverified_header(token)["kid"]]
    assert jwt.decode(token, key, algorithms=["EdDSA"], audience="parley", issuer="http://localhost:8000")
    assert "d" not in found.json()["keys"][0]
    assert found.headers["cache-control"] == "public, max-age=300"


async def test_the_metadata_names_the_issuer_of_the_tokens(auth: RunningAuth) -> None:
    person = await auth.person()
    found = (await auth.client.get("/.well-known/oauth-authorization-server")).json()
    assert found["issuer"] == person.claims["iss"]
    assert found["token_endpoint"] == "http://localhost:8000/api/v1/auth/token"
    assert found["grant_types_supported"] == ["password", "refresh_token"]


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({}, 400, "invalid_request"),
        ({"grant_type": "password", "username": "a"}, 400, "invalid_request"),
        ({"grant_type": "password", "username": "nobody", "password": "x"}, 400, "invalid_grant"),
        ({"grant_type": "password", "username": "a\u0000", "password": "x"}, 400, "invalid_request"),
        ({"grant_type": "refresh_token"}, 400, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": "prt_unknown"}, 400, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "rubbish"}, 400, "invalid_grant"),
        ({"grant_type": "authorization_code"}, 400, "unsupported_grant_type"),
        (
            {"grant_type": "password", "username": "a", "password": "b", "client_id": "parley-gateway"},
            400,
            "unauthorized_client",
        ),
        ({"grant_type": "client_credentials"}, 401, "invalid_client"),
        (
            {"grant_type": "client_credentials", "client_id": GATEWAY, "client_secret": "no"},
            401,
            "invalid_client",
        ),
        (
            {"grant_type": "client_credentials", "client_id": "gateway", "client_secret": GATEWAY_SECRET},
            401,
            "invalid_client",
        ),
    ],
)
async def test_errors_have_the_form_of_rfc_6749(
    auth: RunningAuth, form: dict[str, str], status: int, error: str
) -> None:
    found = await auth.client.post(TOKEN, data=form, headers=FORM)
    assert (found.status_code, found.json()["error"]) == (status, error)
    assert set(found.json()) == {"error", "error_description"}
    assert found.headers["content-type"] == "application/json"
    assert found.headers["cache-control"] == "no-store"
    assert ("www-authenticate" in found.headers) == (status == 401)


async def test_a_json_body_is_refused(auth: RunningAuth) -> None:
    found = await auth.client.post(TOKEN, json={"grant_type": "password"})
    assert (found.status_code, found.json()["code"]) == (415, "unsupported_media_type")
    assert found.headers["accept-post"] == "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    "body", [b"grant_type=password&grant_type=password", b"%ff=1", b"\xff", b"a&" * 30 + b"a=1&b=2" * 30]
)
async def test_a_malformed_form_is_refused(auth: RunningAuth, body: bytes) -> None:
    found = await auth.client.post(TOKEN, content=body, headers=FORM)
    assert (found.status_code, found.json()["error"]) == (400, "invalid_request")


async def test_wrong_password_unknown_name_and_disabled_account_get_the_same_response(auth: RunningAuth) -> None:
    person, disabled = await auth.person(), await auth.person()
    await auth.rows("UPDATE users SET status = 'disabled' WHERE username = $1 RETURNING id", disabled.username)
    wrong = await person.login("not the password")
    unknown = await Person(person.client, "unknown-user").login()
    locked = await disabled.login()
    assert {r.text for r in (wrong, unknown, locked)} == {
        '{"error":"invalid_grant","error_description":"Wrong username or password."}'
    }
    assert {r.status_code for r in (wrong, unknown, locked)} == {400}


async def test_scopes_are_narrowed_on_request_and_never_widened(auth: RunningAuth) -> None:
    person = await auth.person()
    assert (await person.login(scope="chat:write")).json()["scope"] == "chat:write"
    refused = await person.call("GET", "/api/v1/auth/sessions")
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
    assert refused.headers["www-authenticate"] == 'Bearer error="insufficient_scope", scope="account"'
    assert (await person.refresh(scope="account")).json()["error"] == "invalid_scope"
    assert (await person.refresh()).json()["scope"] == "chat:write"
    admin = await person.login(scope="chat:write admin")
    assert admin.json() == {
        "error": "invalid_scope",
        "error_description": "Scope not granted to this account: admin.",
    }


async def test_a_service_gets_a_token_for_itself(auth: RunningAuth) -> None:
    pair = base64.b64encode(f"parley-gateway:{GATEWAY_SECRET}".encode()).decode()
    headers = {"Authorization": f"Basic {pair}"}
    by_header = await auth.client.post(TOKEN, data={"grant_type": "client_credentials"}, headers=headers)
    form = {"grant_type": "client_credentials", "client_id": "parley-gateway", "client_secret": GATEWAY_SECRET}
    by_form = await auth.client.post(TOKEN, data=form)
    for found in (by_header, by_form):
        claims = jwt.decode(found.json()["access_token"], options={"verify_signature": False})
        subject = str(uuid5(NAMESPACE_URL, "parley:service:gateway"))
        assert (claims["scope"], claims["client_id"]) == ("internal", "parley-gateway")
        assert (claims["sub"], claims["sid"]) == (subject, subject)
        assert "refresh_token" not in found.json()


async def test_a_service_gets_no_token_through_the_gateway(auth: RunningAuth) -> None:
    form = {"grant_type": "client_credentials", "client_id": "parley-gateway", "client_secret": GATEWAY_SECRET}
    response = await auth.client.post(TOKEN, data=form, headers={"Via": "1.1 parley"})
    assert (response.status_code, response.json()["error"]) == (400, "unauthorized_client")


async def test_people_cannot_get_the_scope_internal(auth: RunningAuth) -> None:
    admin = await auth.person(admin=True)
    assert (await admin.login(scope="internal")).json()["error"] == "invalid_scope"
    body = {"scopes": ["internal"]}
    assert (await admin.call("PATCH", f"/api/v1/admin/users/{admin.id}", json=body)).status_code == 422


async def test_introspection_returns_only_the_own_tokens_of_a_person(auth: RunningAuth) -> None:
    ada, bob, admin = await auth.person(), await auth.person(), await auth.person(admin=True)
    form = {"token": ada.tokens["access_token"]}
    own = (await ada.call("POST", "/api/v1/auth/introspect", data=form)).json()
    assert (own["active"], own["username"], own["token_type"]) == (True, ada.username, "Bearer")
    assert {k: own[k] for k in ("sub", "sid", "jti", "iss", "aud", "exp", "iat", "scope", "client_id")} == {
        k: ada.claims[k] for k in ("sub", "sid", "jti", "iss", "aud", "exp", "iat", "scope", "client_id")
    }
    assert (await bob.call("POST", "/api/v1/auth/introspect", data=form)).json() == {"active": False}
    assert (await admin.call("POST", "/api/v1/auth/introspect", data=form)).json()["active"] is True
    assert (await ada.call("POST", "/api/v1/auth/introspect", data={"token": "x"})).json() == {"active": False}
    assert (await auth.client.post("/api/v1/auth/introspect", data=form)).status_code == 401
    nothing = await ada.call("POST", "/api/v1/auth/introspect", data={"token": ""})
    assert (nothing.status_code, nothing.json()["error"]) == (400, "invalid_request")
    await auth.client.post("/api/v1/auth/revoke", data={"token": ada.tokens["refresh_token"]})
    assert (await admin.call("POST", "/api/v1/auth/introspect", data=form)).json() == {"active": False}


async def test_the_plan_of_an_account_is_in_its_tokens_and_an_unknown_one_counts_as_default(
    make_settings: MakeSettings, start: StartAuth, tmp_path: Path
) -> None:
    plans = tmp_path / "plans.yaml"
    plans.write_text("default: {}\ngold: {}\n")
    async with start(await make_settings(plans_file=plans)) as auth:
        admin, person = await auth.person(admin=True), await auth.person()
        path = f"/api/v1/admin/users/{person.id}"
        assert (await admin.call("PATCH", path, json={"plan": "gold"})).json()["plan"] == "gold"
        assert (await admin.call("PATCH", path, json={"plan": "silver"})).status_code == 422
        await person.login()
        assert person.claims["plan"] == "gold"
        await auth.rows("UPDATE users SET plan = 'gone' WHERE username = $1 RETURNING id", person.username)
        await person.login()
        assert person.claims["plan"] == "default"
