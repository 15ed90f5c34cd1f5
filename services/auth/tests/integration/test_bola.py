"""Object-level authorization of every route with an id, read from the API document."""

from typing import Any

import httpx2
import pytest

from auth_testing.app import RunningAuth

pytestmark = pytest.mark.integration

BODIES: dict[str, dict[str, Any]] = {
    "/api/v1/admin/users/{user_id}": {"status": "disabled"},
}
PUBLIC = {"/api/v1/auth/erasures/{erasure_id}"}


@pytest.fixture(scope="module")
async def victims(auth: RunningAuth) -> dict[str, str]:
    """The ids of the resources of one account, by parameter name."""
    victim = await auth.person()
    key = (await victim.call("POST", "/api/v1/auth/api-keys", json={"name": "mine"})).json()
    return {"user_id": victim.id, "session_id": victim.claims["sid"], "key_id": key["id"]}


def routes(auth: RunningAuth) -> list[tuple[str, str]]:
    found = auth.app.openapi()["paths"]
    return [(method.upper(), path) for path, item in found.items() if "{" in path for method in item]


async def ask(
    client: httpx2.AsyncClient, method: str, path: str, ids: dict[str, str], token: str | None
) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    body: dict[str, Any] = {"json": BODIES.get(path, {})} if method in {"PATCH", "PUT"} else {}
    return await client.request(method, path.format(**ids), headers=headers, **body)


async def test_no_caller_reaches_resources_of_another_account(auth: RunningAuth, victims: dict[str, str]) -> None:
    stranger = await auth.person()
    made = (await stranger.call("POST", "/api/v1/auth/api-keys", json={"name": "narrow"})).json()
    exchange = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token_type": "urn:parley:params:oauth:token-type:api-key",
        "subject_token": made["key"],
    }
    by_key = (await auth.client.post("/api/v1/auth/token", data=exchange)).json()["access_token"]
    asked = 0
    for method, path in routes(auth):
        if path in PUBLIC:
            continue
        by_stranger = await ask(auth.client, method, path, victims, stranger.tokens["access_token"])
        anonymous = await ask(auth.client, method, path, victims, None)
        with_key = await ask(auth.client, method, path, victims, by_key)
        assert by_stranger.status_code in {403, 404}, (method, path)
        assert (path.startswith("/api/v1/admin")) == (by_stranger.status_code == 403)
        assert anonymous.status_code == 401, (method, path)
        assert with_key.status_code == 403, (method, path)
        asked += 1
    assert asked >= 6
    rows = await auth.rows("SELECT status FROM users WHERE id = $1", victims["user_id"])
    assert rows == [{"status": "active"}]
    assert await auth.rows("SELECT id FROM api_keys WHERE id = $1", victims["key_id"])
    assert await auth.rows("SELECT id FROM sessions WHERE id = $1 AND revoked_at IS NULL", victims["session_id"])


async def test_a_malformed_id_gets_the_response_of_an_unknown_one(auth: RunningAuth) -> None:
    admin = await auth.person(admin=True)
    for method, path in routes(auth):
        for wrong in ("x", "..%2f..", "%00", "01A200A7-0000-7000-8000-000000000001", "'--", "🙂"):
            ids = dict.fromkeys(("user_id", "session_id", "key_id", "erasure_id"), wrong)
            answer = await ask(auth.client, method, path, ids, admin.tokens["access_token"])
            assert answer.status_code == 404, (method, path, wrong)


async def test_an_unsupported_method_returns_405_with_the_supported_ones(auth: RunningAuth) -> None:
    found = await auth.client.put("/api/v1/auth/me")
    assert (found.status_code, found.json()["code"]) == (405, "method_not_allowed")
    assert found.headers["allow"] == "DELETE, GET, HEAD, PATCH"
