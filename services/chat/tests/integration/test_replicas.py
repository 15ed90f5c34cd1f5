"""Several replicas on shared backends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from chat_testing.replica import NewDatabase, OpenReplica, ReplicaPair
from chat_testing.users import ChatUser
from fake_provider.process import FakeProvider
from parley.ids import new_id
from parley_testing import eventually

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
async def pair(open_replica: OpenReplica, new_database: NewDatabase) -> AsyncIterator[ReplicaPair]:
    dsn = await new_database()
    async with open_replica(dsn) as one, open_replica(dsn) as two:
        yield one, two


async def test_ten_readers_on_two_replicas_receive_the_same_events(pair: ReplicaPair) -> None:
    here = pair[0].user()
    there = pair[1].as_seen_by(here)
    body = {"message": "Hello [[fake tokens=60 rate=60]]"}

    async def join(user: ChatUser, delay: float) -> Any:
        await asyncio.sleep(delay)
        return await user.resumed(turn_id)

    async with here.stream("/api/v1/chat/stream", json=body) as (response, found):
        turn_id = response.headers["x-turn-id"]
        others = [asyncio.create_task(join((here, there)[i % 2], i * 0.12)) for i in range(10)]
        first = [event async for event in found]
        for other in others:
            assert await other == first
    assert "".join(e.data["delta"] for e in first) == " ".join(f"t{i}" for i in range(1, 61))


async def test_a_reader_that_changes_replicas_misses_no_event(pair: ReplicaPair) -> None:
    here = pair[0].user()
    there = pair[1].as_seen_by(here)
    body = {"message": "Hello [[fake tokens=40 rate=60]]"}
    async with here.stream("/api/v1/chat/stream", json=body) as (response, found):
        turn_id = response.headers["x-turn-id"]
        seen = [await anext(found) for _ in range(12)]
    assert (await there.turn(turn_id))["status"] == "running"
    assert int((await there.turn(turn_id))["last_event_id"]) >= 12
    seen += await there.resumed(turn_id, seen[-1].id)
    assert seen == await here.resumed(turn_id)


async def test_an_idempotency_key_is_one_turn_on_all_replicas(pair: ReplicaPair, provider: FakeProvider) -> None:
    user, mark = pair[0].user(), str(new_id())
    users = [user, pair[1].as_seen_by(user)]
    message = f"{mark} [[fake tokens=5 latency_ms=200]]"
    headers = {"Idempotency-Key": mark}
    responses = await asyncio.gather(*(users[i % 2].chat(message, headers=headers) for i in range(50)))
    assert {r.status_code for r in responses} == {200}
    assert len({r.content for r in responses}) == 1
    assert len(await provider.journal(contains=mark)) == 1
    assert sum(r.headers.get("idempotency-replayed") == "true" for r in responses) == 49
    other = await users[1].chat("Another", headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_streams_with_one_idempotency_key_show_one_turn_on_all_replicas(
    pair: ReplicaPair, provider: FakeProvider
) -> None:
    user, mark = pair[0].user(), str(new_id())
    users = [user, pair[1].as_seen_by(user)]
    options = {"json": {"message": f"{mark} [[fake tokens=20 rate=40]]"}, "headers": {"Idempotency-Key": mark}}
    streams = await asyncio.gather(*(users[i % 2].streamed("/api/v1/chat/stream", **options) for i in range(50)))
    assert all(events == streams[0] for events in streams)
    assert len(await provider.journal(contains=mark)) == 1


async def test_an_idempotency_key_is_replayed_after_a_restart(
    open_replica: OpenReplica, new_database: NewDatabase, provider: FakeProvider
) -> None:
    dsn, mark = await new_database(), str(new_id())
    request: dict[str, Any] = {"message": f"{mark} [[fake tokens=5]]", "headers": {"Idempotency-Key": mark}}
    async with open_replica(dsn) as replica:
        user = replica.user()
        first = await user.chat(**request)
    async with open_replica(dsn) as replica:
        again = await replica.as_seen_by(user).chat(**request)
    assert (again.status_code, again.content) == (200, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    assert len(await provider.journal(contains=mark)) == 1


async def test_a_turn_is_cancelled_on_another_replica(pair: ReplicaPair) -> None:
    here = pair[0].user()
    there = pair[1].as_seen_by(here)
    opened = (await here.chat("Hi [[fake tokens=500 rate=20]]", headers={"Prefer": "respond-async"})).json()
    await eventually(lambda: _has_events(there, opened["id"]))
    assert (await there.turn(opened["id"]))["message"].startswith("t1 t2")
    response = await there.request("POST", f"/api/v1/chat/turns/{opened['id']}/cancel")
    assert (response.status_code, response.json()["status"]) == (200, "cancelled")
    assert response.json()["message"].startswith("t1 t2")


async def test_an_invalid_cursor_is_refused_on_another_replica(pair: ReplicaPair) -> None:
    here = pair[0].user()
    there = pair[1].as_seen_by(here)
    opened = (await here.chat("Hi [[fake tokens=500 rate=20]]", headers={"Prefer": "respond-async"})).json()
    await eventually(lambda: _has_events(there, opened["id"]))
    with contextlib.suppress(AssertionError):
        found = await there.resumed(opened["id"], 400)
        raise ValueError(found)
    await here.request("POST", f"/api/v1/chat/turns/{opened['id']}/cancel")


async def _has_events(user: ChatUser, turn_id: str) -> bool:
    return int((await user.turn(turn_id))["last_event_id"]) > 2
