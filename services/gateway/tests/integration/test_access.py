"""Access to routes: credentials, scopes, rate limits, API keys and CORS."""

import asyncio

import pytest

from gateway_testing.running import RunGateway, RunningGateway
from parley_testing.http.scripted_server import RecordedRequest, respond

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 401, "credentials_missing"),
        ({"authorization": "Basic YTpi"}, 401, "credentials_missing"),
        ({"authorization": "Bearer rubbish"}, 401, "token_invalid"),
        ({"authorization": "Bearer parley_short"}, 401, "api_key_invalid"),
        ({"authorization": "Bearer a", "x-api-key": "parley_b"}, 400, "ambiguous_credentials"),
    ],
)
async def test_wrong_credentials_are_problems(
    gateway: RunningGateway, headers: dict[str, str], status: int, code: str
) -> None:
    response = await gateway.client.get("/api/v1/models", headers=headers)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers["content-type"] == "application/problem+json"
    assert ("www-authenticate" in response.headers) is (status == 401)
    assert gateway.chat.journal == []


async def test_a_token_in_the_query_string_is_not_a_credential(gateway: RunningGateway) -> None:
    token = gateway.token()
    response = await gateway.client.get(f"/api/v1/models?access_token={token}")
    assert response.json()["code"] == "credentials_missing"


async def test_expired_tokens_and_missing_scopes_are_told_apart(gateway: RunningGateway) -> None:
    expired = await gateway.client.get("/api/v1/models", headers=gateway.bearer(exp=1000, iat=100))
    assert (expired.status_code, expired.json()["code"]) == (401, "token_expired")
    narrow = await gateway.client.get("/api/v1/conversations", headers=gateway.bearer(scope="chat:write"))
    assert (narrow.status_code, narrow.json()["code"]) == (403, "insufficient_scope")
    assert 'scope="history:read"' in narrow.headers["www-authenticate"]


async def test_public_routes_need_no_credential_and_forward_none(run_gateway: RunGateway) -> None:
    async with run_gateway(anonymous_rate_limit=120) as gateway:
        headers = {"authorization": "Bearer x"}
        response = await gateway.client.post("/api/v1/auth/token", data={"a": "b"}, headers=headers)
        assert response.json() == {"service": "auth"}
        assert gateway.auth.journal[-1].header("authorization") is None
        assert response.headers["ratelimit-policy"] == '"address";q=120;w=60'


async def test_too_many_requests_are_rejected_with_the_time_to_retry(run_gateway: RunGateway) -> None:
    async with run_gateway(rate_limit_requests=60, rate_limit_burst=3) as gateway:
        headers = gateway.bearer()
        answers = [await gateway.client.get("/api/v1/models", headers=headers) for _ in range(5)]
        assert [a.status_code for a in answers] == [200, 200, 200, 429, 429]
        problem = answers[-1].json()
        assert (problem["code"], problem["error"]["type"]) == ("rate_limited", "rate_limit_error")
        assert answers[-1].headers["retry-after"] == "1"
        assert len(gateway.chat.journal) == 3


async def test_api_keys_are_exchanged_once_and_invalid_ones_are_cached(gateway: RunningGateway) -> None:
    keys_answer, asked = gateway.auth.answer, []
    good, bad = ("parley_" + letter * 38 for letter in "ab")
    token = gateway.token(client_id="api-key")

    async def auth(seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
        if seen.target != "/api/v1/auth/token":
            await keys_answer(seen, writer)
            return
        asked.append(bytes(seen.body).decode())
        body = b'{"access_token":"%b","expires_in":900}' % token.encode()
        await (respond(200, body) if good in asked[-1] else respond(400, b'{"error":"invalid_grant"}'))(seen, writer)

    gateway.auth.answer = auth
    for headers in ({"x-api-key": good}, {"authorization": f"Bearer {good}"}):
        answers = await asyncio.gather(*(gateway.client.get("/api/v1/models", headers=headers) for _ in range(5)))
        assert {answer.status_code for answer in answers} == {200}
    assert gateway.chat.journal[-1].header("authorization") == f"Bearer {token}"
    assert gateway.chat.journal[-1].header("x-api-key") is None
    assert len(asked) == 1
    for _ in range(3):
        refused = await gateway.client.get("/api/v1/models", headers={"x-api-key": bad})
        assert (refused.status_code, refused.json()["code"]) == (401, "api_key_invalid")
    assert len(asked) == 2


async def test_cors_headers_allow_the_configured_origins(run_gateway: RunGateway) -> None:
    async with run_gateway(cors_origins="https://app.example") as gateway:
        preflight = {"origin": "https://app.example", "access-control-request-method": "POST"}
        allowed = await gateway.client.options("/api/v1/chat", headers=preflight)
        assert allowed.status_code == 204
        assert allowed.headers["access-control-allow-origin"] == "https://app.example"
        assert {"cache-control", "idempotency-key"} <= set(allowed.headers["access-control-allow-headers"].split(", "))
        refused = await gateway.client.options("/api/v1/chat", headers={**preflight, "origin": "https://evil.example"})
        assert "access-control-allow-origin" not in refused.headers
        answer = await gateway.client.get("/api/v1/models", headers={"origin": "https://app.example"})
        assert answer.status_code == 401
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        assert "x-request-id" in answer.headers["access-control-expose-headers"]
        assert answer.headers["vary"] == "origin"
