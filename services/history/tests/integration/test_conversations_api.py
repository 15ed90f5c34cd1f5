"""Conversation routes: lists, changes, deletion and access."""

from typing import Any

import pytest

from history_testing.app import RunningHistory
from history_testing.turn_events import SampleTurn
from parley.ids import new_id

pytestmark = pytest.mark.integration

LIST = "/api/v1/conversations"


async def _conversations(history: RunningHistory, count: int) -> list[SampleTurn]:
    first = SampleTurn(question="Number 1")
    turns = [first, *(SampleTurn(first.user_id, number=n, question=f"Number {n}") for n in range(2, count + 1))]
    await history.publish(*(one.ended() for one in turns))
    return turns


async def test_pages_show_every_conversation_once_newest_update_first(history: RunningHistory) -> None:
    turns = await _conversations(history, 5)
    ada = history.user(turns[0].user_id)
    seen, cursor = [], None
    while True:
        page = await ada.get(LIST, limit=2, **({"cursor": cursor} if cursor else {}))
        seen += [c["title"] for c in page["data"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [f"Number {n}" for n in (5, 4, 3, 2, 1)]


async def test_filters_select_by_archive_flag_and_title(history: RunningHistory) -> None:
    turns = await _conversations(history, 3)
    ada = history.user(turns[0].user_id)
    changed = await ada.request("PATCH", f"{LIST}/{turns[1].conversation_id}", json={"archived": True})
    assert changed.json()["archived"] is True

    async def titles(**params: Any) -> set[str]:
        return {c["title"] for c in (await ada.get(LIST, **params))["data"]}

    assert await titles() == {"Number 1", "Number 3"}
    assert await titles(archived="true") == {"Number 2"}
    assert await titles(archived="all", q="number") == {"Number 1", "Number 2", "Number 3"}
    assert await titles(q="BER 3") == {"Number 3"}
    assert await titles(q="100%_") == set()


@pytest.mark.parametrize("cursor", ["", "rubbish", "é", "AAAA", "W10", "x" * 5000])
async def test_a_forged_cursor_is_refused(history: RunningHistory, cursor: str) -> None:
    one = SampleTurn()
    await history.publish(one.ended())
    ada = history.user(one.user_id)
    for path in (LIST, f"{LIST}/{one.conversation_id}/messages"):
        assert (await ada.get(path, 400, cursor=cursor))["code"] == "invalid_cursor"


async def test_a_cursor_of_another_list_is_refused(history: RunningHistory) -> None:
    turns = await _conversations(history, 2)
    ada = history.user(turns[0].user_id)
    cursor = (await ada.get(LIST, limit=1))["next_cursor"]
    for path, params in ((LIST, {"archived": "all"}), (f"{LIST}/{turns[0].conversation_id}/messages", {})):
        assert (await ada.get(path, 400, cursor=cursor, **params))["code"] == "invalid_cursor"


async def test_a_change_is_stored_and_published_and_has_a_new_etag(history: RunningHistory) -> None:
    one = SampleTurn()
    await history.publish(one.ended())
    ada, path = history.user(one.user_id), f"{LIST}/{one.conversation_id}"
    before = await ada.request("GET", path)
    wanted = {"title": "Greeting Ada", "metadata": {"colour": "blue"}}
    after = await ada.request("PATCH", path, json=wanted, headers={"If-Match": before.headers["etag"]})
    assert after.status_code == 200
    assert (after.json()["title"], after.json()["title_source"]) == ("Greeting Ada", "user")
    assert after.headers["etag"] == f'"{after.json()["version"]}"' != before.headers["etag"]
    assert (await ada.get(path)) == after.json()
    events = [e for e in await history.outbox_events("conversation.updated") if e["user_id"] == str(one.user_id)]
    assert [(e["version"], e["changed"]) for e in events] == [(after.json()["version"], wanted)]

    stale = await ada.request("PATCH", path, json={"title": "Late"}, headers={"If-Match": before.headers["etag"]})
    assert (stale.status_code, stale.json()["code"]) == (412, "precondition_failed")
    assert stale.headers["x-should-retry"] == "false"
    same = await ada.request("PATCH", path, json=wanted)
    assert same.headers["etag"] == after.headers["etag"]


async def test_a_client_that_has_the_current_version_gets_no_body(history: RunningHistory) -> None:
    one = SampleTurn()
    await history.publish(one.ended())
    ada, path = history.user(one.user_id), f"{LIST}/{one.conversation_id}"
    condition = {"If-None-Match": (await ada.request("GET", path)).headers["etag"]}
    known = await ada.request("GET", path, headers=condition)
    assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", condition["If-None-Match"])
    await ada.request("PATCH", path, json={"title": "Greeting Ada"})
    changed = await ada.request("GET", path, headers=condition)
    assert (changed.status_code, changed.json()["title"]) == (200, "Greeting Ada")


async def test_a_title_chosen_by_the_user_is_not_replaced_by_an_automatic_one(history: RunningHistory) -> None:
    late_first = SampleTurn()
    second = late_first.next()
    await history.publish(second.ended())
    ada, path = history.user(second.user_id), f"{LIST}/{second.conversation_id}"
    await ada.request("PATCH", path, json={"title": "Mine"})
    await history.publish(late_first.ended())
    assert (await ada.get(path))["title"] == "Mine"


async def test_a_deleted_conversation_is_gone_at_once_and_its_purge_is_announced(history: RunningHistory) -> None:
    one = SampleTurn()
    await history.publish(one.ended())
    ada, path = history.user(one.user_id), f"{LIST}/{one.conversation_id}"
    stale = await ada.request("DELETE", path, headers={"If-Match": '"99"'})
    assert stale.status_code == 412
    deleted = await ada.request("DELETE", path)
    assert (deleted.status_code, deleted.content) == (204, b"")
    for again in ("GET", "DELETE"):
        assert (await ada.request(again, path)).json()["code"] == "conversation_not_found"
    assert (await ada.request("GET", f"{path}/messages")).status_code == 404
    assert (await ada.get(LIST, archived="all"))["data"] == []
    (event,) = [e for e in await history.outbox_events("conversation.deleted") if e["user_id"] == str(one.user_id)]
    assert event["purge_after"][:10] > event["deleted_at"][:10]
    owner = await history.internal_client().get(f"/internal/conversations/{one.conversation_id}/owner")
    assert (owner["user_id"], owner["deleted"], owner["last_number"]) == (str(one.user_id), True, 1)


async def test_no_event_keeps_the_title_of_a_deleted_conversation(history: RunningHistory) -> None:
    one, other = SampleTurn(question="Secret"), SampleTurn(question="Secret")
    await history.publish(one.ended(), other.ended())
    ada, path = history.user(one.user_id), f"{LIST}/{one.conversation_id}"
    await ada.request("PATCH", path, json={"title": "Secret plan", "metadata": {"topic": "Secret"}})
    await ada.request("DELETE", path)
    query = "SELECT name, data FROM outbox WHERE partition_key = $1 ORDER BY sequence"
    events = await history.pool.fetch(query, str(one.conversation_id))
    assert [event["name"] for event in events] == [
        *("conversation.created", "conversation.updated", "conversation.deleted")
    ]
    assert "Secret" not in str([event["data"] for event in events])
    (kept,) = await history.pool.fetch(query, str(other.conversation_id))
    assert kept["data"]["title"] == "Secret"


async def test_foreign_unknown_and_malformed_ids_get_the_same_404(history: RunningHistory) -> None:
    one = SampleTurn()
    await history.publish(one.ended())
    eve = history.user()
    for name in (one.conversation_id, new_id(), "abc", str(one.conversation_id).upper(), "%00", "1" * 3000):
        for method, tail, body in (
            ("GET", "", None),
            ("PATCH", "", {"title": "Mine now"}),
            ("DELETE", "", None),
            ("GET", "/messages", None),
        ):
            response = await eve.request(method, f"{LIST}/{name}{tail}", **({"json": body} if body else {}))
            assert (response.status_code, response.json()["code"]) == (404, "conversation_not_found"), (name, method)
    assert (await history.user(one.user_id).get(f"{LIST}/{one.conversation_id}"))["title"] != "Mine now"


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({"title": ""}, "/title", "too_short"),
        ({"title": "  "}, "/title", "blank"),
        ({"title": "x" * 201}, "/title", "too_long"),
        ({"title": "a\x00"}, "/title", "invalid_text"),
        ({"title": None}, "/title", "required"),
        ({"archived": "yes"}, "/archived", "bool_type"),
        ({"metadata": {str(n): "x" for n in range(17)}}, "/metadata", "too_long"),
        ({"metadata": {"a": 1}}, "/metadata/a", "string_type"),
        ({"active_message_id": "abc"}, "/active_message_id", "uuid_parsing"),
        ({"owner": "me"}, "/owner", "unknown_member"),
    ],
)
async def test_an_invalid_change_is_refused_and_nothing_is_stored(
    history: RunningHistory, body: dict[str, Any], pointer: str, code: str
) -> None:
    one = SampleTurn()
    await history.publish(one.ended())
    ada, path = history.user(one.user_id), f"{LIST}/{one.conversation_id}"
    response = await ada.request("PATCH", path, json=body)
    assert response.status_code == 422
    assert [(e["pointer"], e["code"]) for e in response.json()["errors"]] == [(pointer, code)]
    assert (await ada.get(path))["version"] == 1


@pytest.mark.parametrize(
    "query", [{"limit": 0}, {"limit": 101}, {"limit": "x"}, {"archived": "maybe"}, {"q": "x" * 201}, {"q": "\x00"}]
)
async def test_an_invalid_query_is_refused(history: RunningHistory, query: dict[str, Any]) -> None:
    assert (await history.user().get(LIST, 422, **query))["code"] == "validation_failed"


async def test_a_wrong_content_type_or_broken_json_is_refused(history: RunningHistory) -> None:
    one = SampleTurn()
    await history.publish(one.ended())
    ada, path = history.user(one.user_id), f"{LIST}/{one.conversation_id}"
    text = await ada.request("PATCH", path, content="{}", headers={"Content-Type": "text/plain"})
    assert text.status_code == 415
    broken = await ada.request("PATCH", path, content='{"title":', headers={"Content-Type": "application/json"})
    assert (broken.status_code, broken.json()["code"]) == (400, "invalid_json")


async def test_scopes_decide_who_may_read_and_write(history: RunningHistory) -> None:
    one = SampleTurn()
    await history.publish(one.ended())
    path = f"{LIST}/{one.conversation_id}"
    reader = history.user(one.user_id, scope="history:read")
    await reader.get(path)
    assert (await reader.request("DELETE", path)).json()["code"] == "insufficient_scope"
    assert (await history.user(one.user_id, scope="history:write").get(path, 403))["code"] == "insufficient_scope"
    for owner in (reader, history.user(one.user_id)):
        await owner.get(f"/internal/conversations/{one.conversation_id}/owner", 403)
    anonymous = await history.user().request("GET", path, headers={"Authorization": "Basic abc"})
    assert (anonymous.status_code, anonymous.json()["code"]) == (401, "credentials_missing")
