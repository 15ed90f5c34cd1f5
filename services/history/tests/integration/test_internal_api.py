"""Internal routes."""

import hashlib

import pytest

from history_testing.app import RunningHistory
from history_testing.turn_events import SampleTurn, user_erased
from parley.ids import new_id

pytestmark = pytest.mark.integration


async def _known(history: RunningHistory, *turns: SampleTurn) -> set[str]:
    ids = [str(one.turn_id) for one in turns]
    response = await history.internal_client().request("POST", "/internal/turns/known", json={"turn_ids": ids})
    assert response.status_code == 200, response.text
    return set(response.json()["known"])


async def test_ended_turns_are_known_whether_they_are_stored_or_must_not_be(history: RunningHistory) -> None:
    ended, running, gone, missing, deleted = (SampleTurn() for _ in range(5))
    alone = SampleTurn(stored=False)
    await history.publish(ended.ended(), running.started(), alone.ended(), gone.ended(), deleted.started())
    path = f"/api/v1/conversations/{deleted.conversation_id}"
    await history.user(deleted.user_id).request("DELETE", path)
    await history.publish(deleted.ended("cancelled"), user_erased(gone.user_id), gone.ended())
    known = await _known(history, ended, running, alone, gone, missing, deleted)
    assert known == {str(one.turn_id) for one in (ended, alone, gone, deleted)}


async def test_a_turn_whose_messages_were_lost_is_not_known(history: RunningHistory) -> None:
    one = SampleTurn()
    await history.publish(one.ended())
    await history.pool.execute("DELETE FROM messages WHERE id = $1", one.turn_id)
    assert await _known(history, one) == set()


async def test_digests_describe_the_stored_answers(history: RunningHistory) -> None:
    one, alone, missing = SampleTurn(answer="grüße 你好"), SampleTurn(stored=False), SampleTurn()
    await history.publish(one.ended(), alone.ended())
    ids = [str(each.turn_id) for each in (one, alone, missing)]
    response = await history.internal_client().request("POST", "/internal/turns/digests", json={"turn_ids": ids})
    digest = hashlib.sha256("grüße 你好".encode()).hexdigest()
    assert response.json()["digests"] == {
        str(one.turn_id): {"status": "completed", "sha256": digest},
        str(alone.turn_id): {"status": "completed", "sha256": None},
    }


async def test_malformed_ids_and_more_than_a_thousand_are_refused(history: RunningHistory) -> None:
    service = history.internal_client()
    for ids in ([str(new_id())] * 1001, ["abc"], "abc", None):
        for path in ("known", "digests"):
            response = await service.request("POST", f"/internal/turns/{path}", json={"turn_ids": ids})
            assert response.status_code == 422


async def test_the_owner_of_an_unknown_conversation_is_a_404(history: RunningHistory) -> None:
    for name in (new_id(), "abc"):
        found = await history.internal_client().get(f"/internal/conversations/{name}/owner", 404)
        assert found["code"] == "conversation_not_found"


async def test_users_may_not_call_internal_routes(history: RunningHistory) -> None:
    for path in ("known", "digests"):
        response = await history.user().request("POST", f"/internal/turns/{path}", json={"turn_ids": []})
        assert (response.status_code, response.json()["code"]) == (403, "insufficient_scope")


async def test_a_created_conversation_takes_the_first_turn_and_its_title(history: RunningHistory) -> None:
    turn = SampleTurn(question="First question")
    service, user = history.internal_client(), history.user(turn.user_id)
    path = f"/internal/conversations/{turn.conversation_id}"
    responses = [await service.request("PUT", path, json={"user_id": str(turn.user_id)}) for _ in range(2)]
    assert [one.status_code for one in responses] == [201, 200]
    assert responses[0].headers["etag"] == '"1"'
    assert (await service.request("PUT", path, json={"user_id": str(new_id())})).status_code == 404
    created = (await user.request("GET", f"/api/v1/conversations/{turn.conversation_id}")).json()
    assert (created["title"], created["message_count"]) == (None, 0)
    await history.publish(turn.ended())
    filled = (await user.request("GET", f"/api/v1/conversations/{turn.conversation_id}")).json()
    assert (filled["title"], filled["message_count"]) == ("First question", 2)
    names = await history.pool.fetch("SELECT name FROM outbox WHERE subject = $1", str(turn.conversation_id))
    assert [row["name"] for row in names] == ["conversation.created"]


async def test_a_deleted_conversation_and_one_of_an_erased_user_are_not_created(history: RunningHistory) -> None:
    deleted, gone = SampleTurn(), SampleTurn()
    await history.publish(deleted.ended(), user_erased(gone.user_id))
    await history.user(deleted.user_id).request("DELETE", f"/api/v1/conversations/{deleted.conversation_id}")
    for one in (deleted, gone):
        path = f"/internal/conversations/{one.conversation_id}"
        response = await history.internal_client().request("PUT", path, json={"user_id": str(one.user_id)})
        assert response.status_code == 404


async def test_deletions_are_listed_in_the_order_of_their_time(history: RunningHistory) -> None:
    turns = [SampleTurn() for _ in range(3)]
    service = history.internal_client()
    before = (await service.get("/internal/conversations/deleted"))["deletions"]
    for turn in turns:
        await history.publish(turn.ended())
        await history.user(turn.user_id).request("DELETE", f"/api/v1/conversations/{turn.conversation_id}")
    found: list[str] = []
    query = {"limit": "2"}
    if before:
        query |= {name: before[-1][name] for name in ("deleted_at", "conversation_id")}
    while page := (await service.request("GET", "/internal/conversations/deleted", params=query)).json()["deletions"]:
        found += [one["conversation_id"] for one in page]
        query |= {name: page[-1][name] for name in ("deleted_at", "conversation_id")}
    assert found == [str(turn.conversation_id) for turn in turns]
    assert (await history.user().request("GET", "/internal/conversations/deleted")).status_code == 403
