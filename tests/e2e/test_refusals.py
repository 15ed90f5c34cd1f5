"""Refused requests: bad credentials, invalid input, oversized bodies. Nothing of them is stored or echoed."""

from typing import Any

import httpx2
import jwt
import pytest

from parley.ids import new_id
from parley_testing import eventually
from parley_testing.http.client import UserClient, register
from parley_testing.security.token_issuer import TestIssuer

pytestmark = pytest.mark.e2e

CANARY = "canary-7f3a9c"
JSON = {"Content-Type": "application/json"}

BAD_BODIES: list[tuple[str, bytes, dict[str, str], int, str]] = [
    ("a blank message", b'{"message":"   "}', JSON, 422, "validation_failed"),
    ("an empty message", b'{"message":""}', JSON, 422, "validation_failed"),
    ("a message that is too long", b'{"message":"' + b"x" * 32_001 + b'"}', JSON, 422, "validation_failed"),
    ("neither message nor regenerate", b"{}", JSON, 422, "validation_failed"),
    (
        "both message and regenerate",
        (
            b'{"message":"a","regenerate":"01a200aa-0000-7000-8000-000000000002",'
            b'"conversation_id":"01a200aa-0000-7000-8000-000000000000"}'
        ),
        JSON,
        422,
        "validation_failed",
    ),
    ("an unknown model", b'{"message":"a","model":"canary-7f3a9c"}', JSON, 404, "model_not_found"),
    (
        "a malformed conversation id",
        b'{"message":"a","conversation_id":"canary-7f3a9c"}',
        JSON,
        422,
        "validation_failed",
    ),
    (
        "a conversation id of version 1",
        b'{"message":"a","conversation_id":"2ed6657d-e927-11eb-9a03-0242ac130003"}',
        JSON,
        422,
        "validation_failed",
    ),
    ("a wrong content type", b'{"message":"a"}', {"Content-Type": "text/plain"}, 415, "unsupported_media_type"),
    ("a body over the limit", b'{"message":"' + b"x" * 1_100_000 + b'"}', JSON, 413, "body_too_large"),
    ("broken JSON", b'{"message": "canary-7f3a9c', JSON, 400, "invalid_json"),
    ("deep JSON", b"[" * 100_000, JSON, 400, "invalid_json"),
    ("an array", b"[]", JSON, 422, "validation_failed"),
    ("NUL", b'{"message":"a\\u0000b"}', JSON, 422, "validation_failed"),
    ("a lone surrogate", b'{"message":"a\\ud800b"}', JSON, 422, "validation_failed"),
    ("bytes that are no text", b'{"message":"\xff\xfe"}', JSON, 400, "invalid_json"),
    ("an unknown member", b'{"message":"a","user_id":"canary-7f3a9c"}', JSON, 422, "validation_failed"),
    ("a hot temperature", b'{"message":"a","temperature":2.5}', JSON, 422, "validation_failed"),
    ("no temperature at all", b'{"message":"a","temperature":NaN}', JSON, 400, "invalid_json"),
    ("too many tokens", b'{"message":"a","max_tokens":1000000000}', JSON, 422, "validation_failed"),
]


def assert_problem(response: httpx2.Response, status: int, code: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert (body["status"], body["code"], body["error"]["code"]) == (status, code, code)
    assert body["request_id"] == response.headers["x-request-id"]
    assert CANARY not in response.text


@pytest.fixture(scope="module")
async def refused_user(http: httpx2.AsyncClient) -> UserClient:
    """A user of whom no turn is accepted."""
    return await register(http)


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"), [b[1:] for b in BAD_BODIES], ids=[b[0] for b in BAD_BODIES]
)
async def test_a_turn_is_refused_and_nothing_is_stored_for(
    refused_user: UserClient, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    for path in ("/api/v1/chat", "/api/v1/chat/stream"):
        assert_problem(await refused_user.request("POST", path, content=body, headers=headers), status, code)
    assert (await refused_user.request("GET", "/api/v1/conversations")).json()["data"] == []


async def test_a_deleted_conversation_is_not_found_and_takes_no_turn(user: UserClient) -> None:
    answer = await user.chat("soon gone [[fake tokens=1]]")
    path = f"/api/v1/conversations/{answer['conversation_id']}"
    await user.request("GET", f"{path}/messages?wait_for={answer['turn_id']}")
    deleted = await user.request("DELETE", path)
    assert deleted.status_code == 204, deleted.text
    assert_problem(await user.request("GET", path), 404, "conversation_not_found")
    assert_problem(await user.request("DELETE", path), 404, "conversation_not_found")
    body = {"message": "hi [[fake tokens=1]]", "conversation_id": answer["conversation_id"]}

    async def refused() -> bool:
        response = await user.request("POST", "/api/v1/chat", json=body)
        return response.status_code == 404 and response.json()["code"] == "conversation_not_found"

    await eventually(refused)


def forged(user: UserClient, **changes: Any) -> str:
    """Return the user's token with changed claims, signed with a foreign key."""
    claims = jwt.decode(user.tokens["access_token"], options={"verify_signature": False, "verify_aud": False})
    kid = jwt.get_unverified_header(user.tokens["access_token"])["kid"]
    return TestIssuer(claims["iss"], kid).sign({**claims, **changes})


def unsigned(user: UserClient) -> str:
    claims = jwt.decode(user.tokens["access_token"], options={"verify_signature": False, "verify_aud": False})
    return jwt.encode(claims, key="", algorithm="none", headers={"typ": "at+jwt"})


async def test_a_request_without_credentials_is_challenged(http: httpx2.AsyncClient) -> None:
    response = await http.get("/api/v1/conversations")
    assert_problem(response, 401, "credentials_missing")
    assert response.headers["www-authenticate"].startswith("Bearer")


async def test_forged_wrong_audience_unsigned_and_broken_tokens_are_refused(
    http: httpx2.AsyncClient, user: UserClient
) -> None:
    good = user.tokens["access_token"]
    bad = [
        forged(user),
        forged(user, aud="other"),
        forged(user, exp=1),
        unsigned(user),
        good[:-6] + "AAAAAA",
        "rubbish",
        "a.b.c",
    ]
    for token in bad:
        response = await http.get("/api/v1/conversations", headers={"Authorization": f"Bearer {token}"})
        assert_problem(response, 401, "token_invalid")


async def test_a_refresh_token_is_no_access_token(http: httpx2.AsyncClient, user: UserClient) -> None:
    headers = {"Authorization": f"Bearer {user.tokens['refresh_token']}"}
    assert_problem(await http.get("/api/v1/conversations", headers=headers), 401, "token_invalid")


async def test_unlisted_paths_are_not_found(user: UserClient) -> None:
    for path in (
        "/assets/none.js",
        "/metrics",
        "/internal/turns/known",
        "/api/v1/nope",
        "/status",
        f"/api/v1/chat/turns/{new_id()}/x",
    ):
        assert_problem(await user.request("GET", path), 404, "not_found")


async def test_a_path_with_a_malformed_id_is_not_found(user: UserClient) -> None:
    assert_problem(await user.request("GET", "/api/v1/conversations/nonsense"), 404, "conversation_not_found")
    assert_problem(await user.request("GET", "/api/v1/chat/turns/nonsense"), 404, "turn_not_found")


async def test_a_method_that_is_not_allowed_names_the_allowed_ones(user: UserClient) -> None:
    response = await user.request("PUT", "/api/v1/conversations")
    assert_problem(response, 405, "method_not_allowed")
    assert "GET" in response.headers["allow"]


async def test_the_refresh_grant_gives_a_token_that_works(http: httpx2.AsyncClient, user: UserClient) -> None:
    form = {"grant_type": "refresh_token", "refresh_token": user.tokens["refresh_token"]}
    response = await http.post("/api/v1/auth/token", data=form)
    assert response.status_code == 200
    headers = {"Authorization": f"Bearer {response.json()['access_token']}"}
    me = await http.get("/api/v1/auth/me", headers=headers)
    assert me.json()["username"] == user.username


async def test_a_wrong_password_is_an_invalid_grant(http: httpx2.AsyncClient, user: UserClient) -> None:
    form = {"grant_type": "password", "username": user.username, "password": CANARY}
    response = await http.post("/api/v1/auth/token", data=form)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_grant")
    assert CANARY not in response.text


async def test_a_service_gets_no_token_through_the_gateway(http: httpx2.AsyncClient) -> None:
    form = {"grant_type": "client_credentials", "client_id": "parley-gateway", "client_secret": "s" * 64}
    for headers in ({}, {"Connection": "close, via", "Via": "1.1 another"}):
        refused = await http.post("/api/v1/auth/token", data=form, headers=headers)
        assert (refused.status_code, refused.json()["error"]) == (400, "unauthorized_client")
