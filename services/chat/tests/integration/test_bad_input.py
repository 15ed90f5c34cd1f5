"""What is refused: the code and status of the contract, nothing stored, nothing echoed."""

from typing import Any

import pytest

from chat_testing.replica import ChatReplica
from parley.ids import new_id

pytestmark = pytest.mark.integration

CANARY = "canary-of-bad-input"
ID = str(new_id())
REFUSED: list[tuple[Any, int, str]] = [
    ({"message": ""}, 422, "validation_failed"),
    ({"message": " \n\t"}, 422, "validation_failed"),
    ({"message": CANARY * 3000}, 422, "validation_failed"),
    ({"message": "x", "regenerate": ID, "conversation_id": ID}, 422, "validation_failed"),
    ({}, 422, "validation_failed"),
    ({"regenerate": ID}, 422, "validation_failed"),
    ({"message": f"{CANARY}\x00"}, 422, "validation_failed"),
    ({"message": "x", "conversation_id": CANARY}, 422, "validation_failed"),
    ({"message": "x", "conversation_id": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"}, 422, "validation_failed"),
    ({"message": "x", "unknown": CANARY}, 422, "validation_failed"),
    ({"message": "x", "temperature": 2.1}, 422, "validation_failed"),
    ({"message": "x", "max_tokens": 0}, 422, "validation_failed"),
    ({"message": "x", "max_tokens": 1025}, 422, "validation_failed"),
    ({"message": "x", "metadata": {str(i): "v" for i in range(17)}}, 422, "validation_failed"),
    ({"message": "x", "metadata": {"a": 1}}, 422, "validation_failed"),
    ({"message": 5}, 422, "validation_failed"),
    ({"message": "x", "model": CANARY}, 404, "model_not_found"),
    ({"message": "x " * 16_000}, 200, ""),
    ({"message": "\u4f60" * 20_000}, 400, "context_length_exceeded"),
    ({"message": "x", "conversation_id": str(new_id()), "parent_id": ID}, 404, "conversation_not_found"),
    ({"message": "x", "conversation_id": str(new_id()), "create": True, "parent_id": ID}, 404, "message_not_found"),
    ({"regenerate": ID, "conversation_id": str(new_id())}, 404, "conversation_not_found"),
]


@pytest.mark.parametrize("path", ["/api/v1/chat", "/api/v1/chat/stream"])
@pytest.mark.parametrize(("body", "status", "code"), REFUSED)
async def test_bad_bodies_are_refused_and_not_echoed(
    replica: ChatReplica, path: str, body: Any, status: int, code: str
) -> None:
    user = replica.user()
    response = await user.request("POST", path, json=body)
    assert response.status_code == status, response.text
    if status == 200:
        return
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == code
    assert CANARY not in response.text
    assert await replica.pool.fetchval("SELECT count(*) FROM turns WHERE user_id = $1", user.id) == 0
    assert await replica.pool.fetchval("SELECT count(*) FROM conversations WHERE user_id = $1", user.id) == 0


@pytest.mark.parametrize(
    ("content", "content_type", "status", "code"),
    [
        (b'{"message": "x"}', "text/plain", 415, "unsupported_media_type"),
        (b'{"message": ', "application/json", 400, "invalid_json"),
        (b'{"message": "\\ud800"}', "application/json", 422, "validation_failed"),
        (b'{"message": "\xff"}', "application/json", 400, "invalid_json"),
        (b"[1]", "application/json", 422, "validation_failed"),
        (b'"' + b"x" * 1_100_000 + b'"', "application/json", 413, "body_too_large"),
    ],
)
async def test_bad_bytes_are_refused(
    replica: ChatReplica, content: bytes, content_type: str, status: int, code: str
) -> None:
    user = replica.user()
    response = await user.request("POST", "/api/v1/chat", content=content, headers={"Content-Type": content_type})
    assert (response.status_code, response.json()["code"]) == (status, code)


@pytest.mark.parametrize("key", ["", "has space", "x" * 256, "\u00e4"])
async def test_bad_keys_are_refused(replica: ChatReplica, key: str) -> None:
    response = await replica.user().request(
        "POST", "/api/v1/chat", json={"message": "x"}, headers={"Idempotency-Key": key.encode()}
    )
    assert (response.status_code, response.json()["code"]) == (400, "invalid_request")


async def test_no_token_and_no_scope_are_refused(replica: ChatReplica) -> None:
    assert (await replica.client.post("/api/v1/chat", json={"message": "x"})).status_code == 401
    response = await replica.user(scope="history:read").chat("x")
    assert (response.status_code, response.json()["code"]) == (403, "insufficient_scope")


async def test_every_scope_may_list_the_models(replica: ChatReplica) -> None:
    user = replica.user(scope="events:read")
    for path in ("/api/v1/models", "/v1/models", "/v1/models/default"):
        assert (await user.request("GET", path)).status_code == 200


async def test_users_do_not_see_the_turns_of_other_users(replica: ChatReplica) -> None:
    ada, eve = replica.user(), replica.user()
    mine = (await ada.chat("Secret [[fake tokens=2]]")).json()
    for method, suffix in [("GET", ""), ("GET", "/stream"), ("POST", "/cancel")]:
        response = await eve.request(method, f"/api/v1/chat/turns/{mine['turn_id']}{suffix}")
        assert (response.status_code, response.json()["code"]) == (404, "turn_not_found")
    taken = await eve.chat("Hi", conversation_id=mine["conversation_id"])
    assert (taken.status_code, taken.json()["code"]) == (404, "conversation_not_found")
    listed = await eve.request("GET", "/api/v1/chat/turns", params={"conversation_id": mine["conversation_id"]})
    assert listed.json()["data"] == []


@pytest.mark.parametrize("turn_id", ["x", ID, ID.upper(), "%00"], ids=["x", "id", "ID", "%00"])
async def test_an_unknown_turn_is_not_found(replica: ChatReplica, turn_id: str) -> None:
    response = await replica.user().request("GET", f"/api/v1/chat/turns/{turn_id}")
    assert (response.status_code, response.json()["code"]) == (404, "turn_not_found")


async def test_lists_have_cursors(replica: ChatReplica) -> None:
    user = replica.user()
    made = [(await user.chat("Hi [[fake tokens=1]]")).json()["turn_id"] for _ in range(3)]
    first = (await user.request("GET", "/api/v1/chat/turns", params={"limit": 2})).json()
    second = (
        await user.request("GET", "/api/v1/chat/turns", params={"limit": 2, "cursor": first["next_cursor"]})
    ).json()
    assert [t["id"] for t in first["data"] + second["data"]] == made[::-1]
    assert second["next_cursor"] is None
    for cursor in ("", "zzz", "z" * 1000):
        bad = await user.request("GET", "/api/v1/chat/turns", params={"cursor": cursor})
        assert (bad.status_code, bad.json()["code"]) == (400, "invalid_cursor")
