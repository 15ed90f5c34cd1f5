"""Export and import routes."""

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from history.transfer.quota import CONVERSATION_BYTES
from history_testing.app import ApiUser, NewDatabase, OpenHistory, RunningHistory
from history_testing.turn_events import SampleTurn
from parley_testing import eventually

pytestmark = pytest.mark.integration

IMPORT = "/api/v1/conversations/import"


def _node(parent: str | None, role: str, *parts: Any, time: float | None = None, kind: str = "text") -> dict[str, Any]:
    content = {"content_type": kind, "parts": list(parts)}
    message = {"author": {"role": role}, "content": content, "create_time": time, "metadata": {"model_slug": "gpt-x"}}
    return {"parent": parent, "message": message, "children": []}


CHATGPT = {
    "title": "Trip to Rome",
    "create_time": 1795307719.5,
    "current_node": "c",
    "mapping": {
        "root": {"parent": None, "message": None},
        "system": _node("root", "system", "You are helpful."),
        "a": _node("system", "user", "Where shall I go?", time=1795307720.0),
        "b": _node("a", "assistant", "Rome.", time=1795307721.0),
        "empty": _node("a", "assistant", ""),
        "c": _node("empty", "assistant", "Oslo.", time=1795307722.0),
        "d": _node("b", "user", {"content_type": "image_asset_pointer"}, "What is this?", kind="multimodal_text"),
        "e": _node("d", "assistant", "x", kind="hologram"),
    },
}


async def _messages(user: ApiUser, conversation_id: str) -> list[dict[str, Any]]:
    found = await user.get(f"/api/v1/conversations/{conversation_id}/messages", tree="true", limit=100)
    return [dict(m) for m in found["data"]]


def _without_ids(exported: dict[str, Any]) -> dict[str, Any]:
    """Return an export with the positions of messages for their ids, and without what is new in each import."""
    ids = {m["id"]: position for position, m in enumerate(exported["messages"])}
    messages = [
        {**m, "id": ids[m["id"]], "parent_id": ids.get(m["parent_id"]), "turn_id": ids.get(m["turn_id"])}
        | {"sibling_ids": [ids[one] for one in m["sibling_ids"]], "conversation_id": None}
        for m in exported["messages"]
    ]
    conversation = {name: value for name, value in exported["conversation"].items() if name not in {"id", "version"}}
    active = ids[conversation["active_message_id"]]
    return {"conversation": {**conversation, "active_message_id": active}, "messages": messages}


async def test_a_json_export_holds_every_branch_and_can_be_imported_unchanged(history: RunningHistory) -> None:
    first = SampleTurn(question='Grüße, 你好 / "quoted"')
    again = first.regenerated(answer="Another answer")
    await history.publish(first.ended(), again.ended(), again.next(number=3).ended("incomplete"))
    ada = history.user(first.user_id)
    path = f"/api/v1/conversations/{first.conversation_id}"
    await ada.request("PATCH", path, json={"metadata": {"a": "b"}, "archived": True})
    response = await ada.request("GET", f"{path}/export")
    assert response.headers["content-type"] == "application/json"
    assert response.headers["content-disposition"].startswith(
        'attachment; filename="Grue-quoted.json"; filename*=UTF-8'
    )
    exported = response.json()
    assert exported["format"] == "parley.conversation/1"
    assert exported["conversation"] == await ada.get(path)
    assert exported["messages"] == await _messages(ada, str(first.conversation_id))

    eve = history.user()
    answer = await eve.request("POST", IMPORT, json=exported)
    assert answer.status_code == 201
    report = answer.json()
    (imported,) = report["imported"]
    assert answer.headers["location"] == f"/api/v1/conversations/{imported['conversation_id']}"
    assert (imported["title"], imported["messages"], report["skipped"]) == (exported["conversation"]["title"], 5, [])
    copy = await _messages(eve, imported["conversation_id"])
    assert not {m["id"] for m in copy} & {m["id"] for m in exported["messages"]}
    again = (await eve.request("GET", f"/api/v1/conversations/{imported['conversation_id']}/export")).json()
    assert _without_ids(again) == _without_ids(exported)
    assert again["messages"][1]["usage"]["completion_tokens"] == 16
    assert again["messages"][1]["cost"] == "0.000012340"
    assert {m["finish_reason"] for m in again["messages"]} == {None, "stop", "incomplete"}
    assert (await eve.get("/api/v1/search", q="Another"))["data"]
    assert (await eve.get("/api/v1/usage"))["total"]["turns"] == 0
    created = [e for e in await history.outbox_events("conversation.created") if e["user_id"] == str(eve.id)]
    assert [e["origin"] for e in created] == ["import"]


async def test_a_markdown_export_is_the_active_branch(history: RunningHistory) -> None:
    first = SampleTurn(question="Hello")
    await history.publish(first.ended(), first.regenerated(answer="Better").ended())
    ada = history.user(first.user_id)
    response = await ada.request("GET", f"/api/v1/conversations/{first.conversation_id}/export?format=markdown")
    assert response.headers["content-type"] == "text/markdown; charset=utf-8"
    assert response.text == (
        "# Hello\n\n## You · 2026-11-22T10:00:10.123Z\n\nHello\n\n## Assistant · 2026-11-22T10:00:22.123Z\n\nBetter\n"
    )


async def test_all_conversations_are_exported_one_per_line_and_can_be_imported(history: RunningHistory) -> None:
    first = SampleTurn()
    others = [SampleTurn(first.user_id) for _ in range(3)]
    await history.publish(*(one.ended() for one in (first, *others)))
    ada = history.user(first.user_id)
    response = await ada.request("GET", "/api/v1/export")
    assert response.headers["content-type"] == "application/x-ndjson"
    lines = [orjson.loads(line) for line in response.text.splitlines()]
    assert {line["conversation"]["id"] for line in lines} == {str(one.conversation_id) for one in (first, *others)}
    answer = await ada.request(
        "POST", IMPORT, content=response.content, headers={"Content-Type": "application/x-ndjson"}
    )
    assert (answer.status_code, len(answer.json()["imported"])) == (201, 4)
    assert answer.headers["location"] == "/api/v1/conversations"


async def test_a_chatgpt_export_is_imported_with_its_branches(history: RunningHistory) -> None:
    ada = history.user()
    answer = await ada.request("POST", IMPORT, json=[CHATGPT, {"hello": 1}, 5, {**CHATGPT, "mapping": {}}])
    report = answer.json()
    assert [(s["index"], s["pointer"], s["code"]) for s in report["skipped"]] == [
        (0, "/0/mapping/d", "unsupported_content"),
        (0, "/0/mapping/e", "unsupported_content"),
        (1, "/1", "unknown_format"),
        (2, "/2", "unknown_format"),
        (3, "/3/mapping", "too_short"),
    ]
    (imported,) = report["imported"]
    messages = await _messages(ada, imported["conversation_id"])
    assert [(m["role"], m["content"]) for m in messages] == [
        ("user", "Where shall I go?"),
        ("assistant", "Rome."),
        ("user", "What is this?"),
        ("assistant", "Oslo."),
    ]
    where, rome, what, oslo = (m["id"] for m in messages)
    assert [m["parent_id"] for m in messages] == [None, where, rome, where]
    assert messages[1]["sibling_ids"] == [oslo]
    assert messages[1]["turn_id"] == rome
    assert messages[2]["id"] == what
    branch = await ada.get(f"/api/v1/conversations/{imported['conversation_id']}/messages")
    assert [m["id"] for m in branch["data"]] == [where, oslo]


async def test_an_invalid_conversation_is_skipped_and_the_others_are_imported(history: RunningHistory) -> None:
    def own(*messages: dict[str, Any]) -> dict[str, Any]:
        return {"format": "parley.conversation/1", "conversation": {"title": "T"}, "messages": list(messages)}

    good = {"id": "1", "parent_id": None, "role": "user", "content": "hi"}
    bodies = [
        own({**good, "parent_id": "2"}, {**good, "id": "2", "parent_id": "1"}),
        own(good, good),
        own({**good, "role": "system"}),
        own({**good, "content": "a\x00"}),
        own(),
        own({**good, "parent_id": "elsewhere"}),
    ]
    report = (await history.user().request("POST", IMPORT, json=bodies)).json()
    assert [(s["pointer"], s["code"]) for s in report["skipped"]] == [
        ("/0", "broken_tree"),
        ("/1/messages/1/id", "duplicate_id"),
        ("/2/messages/0/role", "literal_error"),
        ("/2", "empty"),
        ("/3", "invalid_text"),
    ]
    assert [i["index"] for i in report["imported"]] == [1, 3, 4, 5]


async def test_an_import_repeated_with_its_idempotency_key_is_stored_once(history: RunningHistory) -> None:
    ada = history.user()
    own = {
        "format": "parley.conversation/1",
        "conversation": {"title": "T"},
        "messages": [{"id": "1", "role": "user", "content": "hi"}],
    }
    headers = {"Idempotency-Key": "import-1"}
    first, *others = await asyncio.gather(
        *(ada.request("POST", IMPORT, json=[own, own, 5], headers=headers) for _ in range(2))
    )
    others.append(await ada.request("POST", IMPORT, json=[own, own, 5], headers=headers))
    assert [(o.status_code, o.json()) for o in others] == 2 * [(201, first.json())]
    assert others[-1].headers["idempotency-replayed"] == "true"
    found = (await ada.get("/api/v1/conversations"))["data"]
    assert {c["id"] for c in found} == {i["conversation_id"] for i in first.json()["imported"]}

    await ada.request("DELETE", f"/api/v1/conversations/{found[0]['id']}")
    assert (await ada.request("POST", IMPORT, json=[own, own, 5], headers=headers)).json() == first.json()
    assert len((await ada.get("/api/v1/conversations"))["data"]) == 1
    reused = await ada.request("POST", IMPORT, json=[own], headers=headers)
    assert (reused.status_code, reused.json()["code"]) == (422, "idempotency_key_reused")
    other = await history.user().request("POST", IMPORT, json=[own, own, 5], headers=headers)
    assert "idempotency-replayed" not in other.headers
    for bad in ("", "a b", "x" * 256):
        answer = await ada.request("POST", IMPORT, json=[own], headers={"Idempotency-Key": bad})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (b"{", "application/json", 400, "invalid_json"),
        (b'"text"', "application/json", 422, "validation_failed"),
        (b"null", "application/json", 422, "validation_failed"),
        (b'{"a": "\\ud800"}', "application/json", 422, "validation_failed"),
        (b"{}\n{", "application/x-ndjson", 422, "validation_failed"),
        (b"{\n{", "application/x-ndjson", 400, "invalid_json"),
        (b"date,text\n1,2", "application/json", 400, "invalid_json"),
        (b"{}", "text/plain", 415, "unsupported_media_type"),
        (b"[]", "", 415, "unsupported_media_type"),
    ],
)
async def test_a_file_that_cannot_be_parsed_is_refused(
    history: RunningHistory, body: bytes, kind: str, status: int, code: str
) -> None:
    response = await history.user().request("POST", IMPORT, content=body, headers={"Content-Type": kind})
    assert (response.status_code, response.json()["code"]) == (status, code)


async def test_a_file_over_the_size_limit_is_refused(open_history_on: OpenHistory, new_database: NewDatabase) -> None:
    async with open_history_on(await new_database(), import_limit=3_000_000) as history:
        ada = history.user()
        message = {"id": "1", "role": "user", "content": "word " * 190_000}
        own = {"format": "parley.conversation/1", "conversation": {}, "messages": [message, {**message, "id": "2"}]}
        answer = await ada.request("POST", IMPORT, json=own)
        assert answer.status_code == 201, answer.text
        assert answer.json()["imported"][0]["messages"] == 2
        refused = await ada.request("POST", IMPORT, json=[own, own])
        assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")


async def test_deleted_conversations_count_until_they_are_purged(
    open_history_on: OpenHistory, new_database: NewDatabase, tmp_path: Path
) -> None:
    plans = tmp_path / "plans.yaml"
    plans.write_text(f"default: {{import_bytes: {2 * CONVERSATION_BYTES}, retention_days: 0}}")
    own = {"format": "parley.conversation/1", "conversation": {"title": "T"}, "messages": []}
    async with open_history_on(await new_database(), plans_file=plans, purge_interval=0.1) as history:
        ada = history.user()
        report = (await ada.request("POST", IMPORT, json=own)).json()
        refused = await ada.request("POST", IMPORT, json=own)
        assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded")
        assert refused.headers["x-should-retry"] == "false"
        assert (await history.user().request("POST", IMPORT, json=own)).status_code == 201

        await ada.request("DELETE", f"/api/v1/conversations/{report['imported'][0]['conversation_id']}")

        async def is_imported() -> bool:
            return (await ada.request("POST", IMPORT, json=own)).status_code == 201

        await eventually(is_imported)


async def test_conversations_of_other_users_cannot_be_exported(history: RunningHistory) -> None:
    one = SampleTurn()
    await history.publish(one.ended())
    eve = history.user()
    for name in (one.conversation_id, "abc"):
        await eve.get(f"/api/v1/conversations/{name}/export", 404)
    assert (await eve.request("GET", "/api/v1/export")).content == b""
    reader = history.user(one.user_id, scope="history:read")
    assert (await reader.request("POST", IMPORT, json=[])).status_code == 403
