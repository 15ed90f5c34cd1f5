"""What our own services ask."""

import hashlib
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from parley.ids import new_id

pytestmark = pytest.mark.integration


async def _known(world: Any, *turns: Any) -> set[str]:
    ids = [str(one.turn_id) for one in turns]
    response = await world.service().ask("POST", "/internal/turns/known", json={"turn_ids": ids})
    assert response.status_code == 200, response.text
    return set(response.json()["known"])


async def test_ended_turns_are_known_whether_stored_or_never_to_be_stored(
    world: Any, turn: Callable[..., Any], erased: Callable[[UUID], Any]
) -> None:
    ended, running, alone, gone, missing = turn(), turn(), turn(stored=False), turn(), turn()
    deleted = turn()
    await world.tell(ended.ended(), running.started(), alone.ended(), gone.ended(), deleted.started())
    path = f"/api/v1/conversations/{deleted.conversation_id}"
    await world.person(deleted.user_id).ask("DELETE", path)
    await world.tell(deleted.ended("cancelled"), erased(gone.user_id), gone.ended())
    known = await _known(world, ended, running, alone, gone, missing, deleted)
    assert known == {str(one.turn_id) for one in (ended, alone, gone, deleted)}


async def test_a_turn_whose_messages_were_lost_is_not_known(world: Any, turn: Callable[..., Any]) -> None:
    one = turn()
    await world.tell(one.ended())
    await world.pool.execute("DELETE FROM messages WHERE id = $1", one.turn_id)
    assert await _known(world, one) == set()


async def test_digests_tell_what_is_stored(world: Any, turn: Callable[..., Any]) -> None:
    one, alone, missing = turn(answer="grüße 你好"), turn(stored=False), turn()
    await world.tell(one.ended(), alone.ended())
    ids = [str(each.turn_id) for each in (one, alone, missing)]
    response = await world.service().ask("POST", "/internal/turns/digests", json={"turn_ids": ids})
    digest = hashlib.sha256("grüße 你好".encode()).hexdigest()
    assert response.json()["digests"] == {
        str(one.turn_id): {"status": "completed", "sha256": digest},
        str(alone.turn_id): {"status": "completed", "sha256": None},
    }


async def test_more_than_a_thousand_ids_and_bad_ones_are_refused(world: Any) -> None:
    service = world.service()
    for ids in ([str(new_id())] * 1001, ["abc"], "abc", None):
        for path in ("known", "digests"):
            response = await service.ask("POST", f"/internal/turns/{path}", json={"turn_ids": ids})
            assert response.status_code == 422


async def test_the_owner_of_an_unknown_conversation_is_a_404(world: Any) -> None:
    for name in (new_id(), "abc"):
        found = await world.service().get(f"/internal/conversations/{name}/owner", 404)
        assert found["code"] == "conversation_not_found"


async def test_people_may_not_ask(world: Any) -> None:
    for path in ("known", "digests"):
        response = await world.person().ask("POST", f"/internal/turns/{path}", json={"turn_ids": []})
        assert (response.status_code, response.json()["code"]) == (403, "insufficient_scope")
