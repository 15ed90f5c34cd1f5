"""Imported times that stand for none: the first and the last one of a library."""

from typing import Any

import pytest

from history_testing.app import ApiUser, RunningHistory
from history_testing.turn_events import SampleTurn

pytestmark = pytest.mark.integration

IMPORT = "/api/v1/conversations/import"


FAR_TIMES = ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"]
"""The first and the last time of Python, which its Postgres driver stores as infinite ones."""


@pytest.mark.parametrize("time", FAR_TIMES)
async def test_an_import_with_a_time_that_stands_for_none_can_be_read(history: RunningHistory, time: str) -> None:
    ada = history.user()
    message = {"id": "a", "role": "user", "content": "Hello far away", "created_at": time}
    details = {"title": "Far", "created_at": time, "updated_at": time, "last_message_at": time}
    parley = {"format": "parley.conversation/1", "conversation": details, "messages": [message]}
    claude = {
        "name": "Far",
        "created_at": time,
        "chat_messages": [{"uuid": "a", "sender": "human", "text": "Hello far"}],
    }
    for entry in (parley, [claude]):
        answer = await ada.request("POST", IMPORT, json=entry)
        (imported,) = answer.json()["imported"]
        assert all(part["code"] == "out_of_range" for part in answer.json()["skipped"])
        await read_everything(ada, imported["conversation_id"])
    stored = await history.pool.fetchval(
        "SELECT count(*) FROM messages WHERE user_id = $1 AND NOT isfinite(created_at)", ada.id
    )
    assert stored == 0


@pytest.mark.parametrize("time", ["-infinity", "infinity"])
async def test_infinite_times_of_earlier_imports_can_be_read(history: RunningHistory, time: str) -> None:
    one = SampleTurn(question="Hello far away")
    ada = history.user(one.user_id)
    await history.publish(one.ended())
    columns = ["created_at", "last_message_at", *(["updated_at"] if time == "-infinity" else [])]
    changes = ", ".join(f"{column} = $1::text::timestamptz" for column in columns)
    for table, changed in (("messages", "created_at = $1::text::timestamptz"), ("conversations", changes)):
        await history.pool.execute(f"UPDATE {table} SET {changed} WHERE user_id = $2", time, ada.id)
    await read_everything(ada, str(one.conversation_id))


async def read_everything(user: ApiUser, conversation_id: str) -> None:
    """Read a conversation by every route that shows its times."""
    path = f"/api/v1/conversations/{conversation_id}"
    assert (await user.get(path))["created_at"].endswith("Z")
    lists: list[tuple[str, dict[str, Any]]] = [
        ("/api/v1/conversations", {}),
        ("/api/v1/search", {"q": "far"}),
        (f"{path}/messages", {}),
        (f"{path}/messages", {"tree": "true"}),
    ]
    for each, parameters in lists:
        assert (await user.get(each, **parameters))["data"], each
    for each in (f"{path}/export", f"{path}/export?format=markdown", "/api/v1/export"):
        exported = await user.request("GET", each)
        assert exported.status_code == 200
        assert "far" in exported.text
