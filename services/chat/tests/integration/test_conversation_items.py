"""Items that users put into conversations and delete from them, in Postgres."""

from typing import Any

import orjson
import pytest

from chat_testing.replica import ChatReplica
from chat_testing.users import ChatUser

pytestmark = pytest.mark.integration

CANARY = "canary-of-items"


async def insert(user: ChatUser, conversation: str, *texts: str, key: str | None = None) -> dict[str, object]:
    items = [{"role": "user", "content": text} for text in texts]
    headers = {"Idempotency-Key": key} if key else None
    path = f"/v1/conversations/{conversation}/items"
    response = await user.request("POST", path, json={"items": items}, headers=headers)
    assert response.status_code == 200, response.text
    found: dict[str, object] = response.json()
    return found


async def test_items_are_inserted_once_published_and_deleted_for_good(replica: ChatReplica) -> None:
    user = replica.user()
    body = {"model": "default", "input": f"{CANARY} [[fake mode=echo]]"}
    made = (await user.request("POST", "/v1/responses", json=body)).json()
    conversation = made["conversation"]["id"]
    both = [await insert(user, conversation, f"{CANARY} 1", f"{CANARY} 2", key="k") for _ in range(2)]
    assert both[0] == both[1]
    path = f"/v1/conversations/{conversation}/items"
    items = (await user.request("GET", f"{path}?order=asc")).json()["data"]
    assert [item["role"] for item in items] == ["user", "assistant", "user", "user"]

    for item in items:
        deleted = await user.request("DELETE", f"{path}/{item['id']}")
        assert deleted.status_code == 200, deleted.text
        assert (await user.request("DELETE", f"{path}/{item['id']}")).status_code == 404
    assert (await user.request("GET", path)).json()["data"] == []
    stored = [dict(row) for table in ("turns", "outbox") for row in await replica.pool.fetch(f"SELECT * FROM {table}")]
    assert CANARY not in orjson.dumps(stored, default=str).decode()

    key = str(await replica.pool.fetchval("SELECT id FROM conversations WHERE user_id = $1", user.id))
    events = await replica.outbox(key)
    assert [event["name"].rpartition(".")[2] for event in events] == [
        *("started", "completed", "completed", "completed"),
        *["redacted"] * 4,
    ]
    assert [event["sequence"] for event in events] == list(range(1, 9))
    assert [event["data"]["number"] for event in events[1:4]] == [1, 2, 3]
    assert events[-1]["data"]["message"] is None
    assert await replica.running_turns(user.id) == 0


async def test_a_repeated_creation_creates_one_conversation(replica: ChatReplica) -> None:
    user = replica.user()
    request: dict[str, Any] = {
        "json": {"items": [{"role": "user", "content": "Hi"}]},
        "headers": {"Idempotency-Key": "k"},
    }
    both = [await user.request("POST", "/v1/conversations", **request) for _ in range(2)]
    assert both[0].status_code == 200, both[0].text
    assert both[0].json() == both[1].json()
    assert both[1].headers["Idempotency-Replayed"] == "true"
    count = "SELECT count(*) FROM {} WHERE user_id = $1"
    for table, rows in (("conversations", 1), ("turns", 1), ("idempotency_keys", 2)):
        assert await replica.pool.fetchval(count.format(table), user.id) == rows
