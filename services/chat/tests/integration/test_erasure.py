"""Deleted conversations, erased users and disabled users."""

import asyncio
from typing import Any

import orjson
import pytest

from chat_testing.replica import ChatReplica, NewDatabase, OpenReplica
from chat_testing.users import ChatUser
from fake_provider.process import FakeProvider
from parley import times
from parley.ids import new_id
from parley.storage.redis import open_redis
from parley_events.cloudevents import CloudEvent
from parley_events.models import ConversationDeleted, EventData, UserChanged, UserErased
from parley_testing import eventually
from parley_testing.backends.shared_servers import SharedBackends

pytestmark = pytest.mark.integration

CANARY = "canary-of-forgetting"
ENDED_IN = "SELECT conversation_id::text FROM turns WHERE user_id = $1 AND status = 'cancelled'"


async def publish(replica: ChatReplica, name: str, data: EventData, subject: Any) -> None:
    event = CloudEvent(
        id=new_id(),
        source=data.source,
        name=name,
        version=1,
        subject=str(subject),
        time=times.now(),
        partition_key=str(subject),
        sequence=1,
        data=data.model_dump_json().encode(),
    )
    await replica.bus.publish(event)


async def everything_stored(replica: ChatReplica) -> str:
    tables = ["turns", "outbox", "conversations", "idempotency_keys"]
    rows = [dict(row) for table in tables for row in await replica.pool.fetch(f"SELECT * FROM {table}")]
    return orjson.dumps(rows, default=str).decode()


async def erase(replica: ChatReplica, user: ChatUser) -> None:
    data = UserErased(user_id=user.id, erasure_id="erasure", at=times.now())
    await publish(replica, "user.erased", data, user.id)


async def test_all_content_of_an_erased_user_is_removed(replica: ChatReplica) -> None:
    user, mark = replica.user(), f"{CANARY}-{new_id()}"
    done = (await user.chat(f"{mark} [[fake mode=echo]]", system_prompt=mark, metadata={"m": mark})).json()
    request = {"model": "default", "messages": [{"role": "user", "content": mark}]}
    await user.request("POST", "/v1/chat/completions", json=request)
    running = asyncio.create_task(
        user.streamed("/api/v1/chat/stream", json={"message": f"{mark} [[fake tokens=500 rate=20]]"})
    )
    await eventually(lambda: _running(replica, user))
    await erase(replica, user)
    await asyncio.wait_for(running, 10)
    await eventually(lambda: _settled(replica, user))
    assert mark not in await everything_stored(replica)
    rows = await replica.pool.fetch("SELECT status, number FROM turns WHERE user_id = $1", user.id)
    assert sorted(row["status"] for row in rows) == ["cancelled", "completed", "completed"]
    assert [row["sequence"] for row in await replica.outbox(done["conversation_id"])] == [1, 2]
    ended = await replica.pool.fetchval(ENDED_IN, user.id)
    assert [row["sequence"] for row in await replica.outbox(ended)] == [1, 2]
    confirmed = await replica.outbox(str(user.id))
    assert confirmed[0]["name"] == "user.erasure_confirmed"
    assert confirmed[0]["data"]["service"] == "chat"
    refused = await user.chat("again")
    assert (refused.status_code, refused.json()["code"]) == (410, "erased")
    assert (await user.request("GET", f"/api/v1/chat/turns/{done['turn_id']}")).status_code == 404
    await erase(replica, user)


WAITING_REQUESTS: dict[str, dict[str, Any]] = {
    "/api/v1/chat": {"message": "[[fake tokens=500 rate=20]]"},
    "/v1/chat/completions": {
        "model": "default",
        "messages": [{"role": "user", "content": "[[fake tokens=500 rate=20]]"}],
    },
    "/v1/responses": {"model": "default", "input": "[[fake tokens=500 rate=20]]"},
}


@pytest.mark.parametrize("path", WAITING_REQUESTS)
async def test_requests_that_wait_for_an_answer_end_when_their_user_is_erased(
    open_replica: OpenReplica, new_database: NewDatabase, backends: SharedBackends, path: str
) -> None:
    dsn = await new_database()
    async with (
        open_replica(dsn) as runner,
        open_replica(dsn) as other,
        open_redis(await backends.redis_url(), timeout=20) as redis,
    ):
        user = runner.user()
        elsewhere = other.user(user.id)
        request: dict[str, Any] = {"json": WAITING_REQUESTS[path], "headers": {"Idempotency-Key": "k"}}
        waiting = [asyncio.create_task(user.request("POST", path, **request))]
        await eventually(lambda: _running(runner, user))
        waiting.append(asyncio.create_task(elsewhere.request("POST", path, **request)))
        turn_id = await runner.pool.fetchval("SELECT id FROM turns WHERE user_id = $1", user.id)
        await eventually(lambda: redis.exists(f"parley:turn:{turn_id}:read"))
        await erase(other, user)
        for response in await asyncio.wait_for(asyncio.gather(*waiting), 10):
            assert response.status_code == 410, response.text
            assert response.json()["error"]["code"] == "erased"


@pytest.mark.parametrize("how", ["erased", "deleted"])
async def test_content_of_a_turn_on_another_replica_is_removed_for_good(
    open_replica: OpenReplica, new_database: NewDatabase, backends: SharedBackends, how: str
) -> None:
    dsn, mark = await new_database(), f"{CANARY}-{new_id()}"
    async with (
        open_replica(dsn) as runner,
        open_replica(dsn) as other,
        open_redis(await backends.redis_url(), timeout=20) as redis,
    ):
        user = runner.user()
        request = {"json": {"message": f"{mark} [[fake tokens=500 rate=20]]"}}
        running = asyncio.create_task(user.streamed("/api/v1/chat/stream", **request))
        row = await eventually(lambda: runner.pool.fetchrow("SELECT * FROM turns WHERE user_id = $1", user.id))
        await eventually(lambda: redis.xlen(f"parley:turn:{row['id']}"))
        conversation = str(row["conversation_id"])
        if how == "erased":
            await erase(other, user)
        else:
            data = ConversationDeleted(
                conversation_id=conversation, user_id=user.id, deleted_at=times.now(), purge_after=times.now()
            )
            await publish(other, "conversation.deleted", data, conversation)
        events = await asyncio.wait_for(running, 10)
        assert not events[-1].data.get("finished") or events[-1].data["status"] == "cancelled"
        await eventually(lambda: _settled(runner, user))
        await other.wired.reconciler.reconcile()
        assert mark not in await everything_stored(other)
        assert [row["sequence"] for row in await other.outbox(conversation)] == [1, 2]
        names = [row["name"] for row in await other.outbox(conversation)]
        assert names == ["conversation.turn.started", "conversation.turn.cancelled"]
        assert (await user.request("GET", f"/api/v1/chat/turns/{row['id']}")).status_code == 404
        if how == "erased":
            items: Any = await redis.xrange(f"parley:turn:{row['id']}")
            assert all(b"e" not in fields for _, fields in items)


async def test_a_deleted_conversation_ends_its_turn_and_is_not_found(replica: ChatReplica) -> None:
    user, mark = replica.user(), f"{CANARY}-{new_id()}"
    first = (await user.chat(f"{mark} [[fake tokens=2]]")).json()
    where = {"conversation_id": first["conversation_id"]}
    messages = [{"role": "user", "content": "Hi [[fake tokens=1]]"}, {"role": "tool", "content": mark}]
    await user.request(
        "POST", "/v1/chat/completions", json={"messages": messages, "metadata": where, "model": "default"}
    )
    assert mark in str(await replica.outbox(first["conversation_id"]))
    # As after a message that is an image, and an answer that is a call.
    await replica.pool.execute("UPDATE turns SET user_message = '', content = '' WHERE tool_results <> '[]'")
    running = asyncio.create_task(
        user.streamed("/api/v1/chat/stream", json={"message": f"{mark} [[fake tokens=500 rate=20]]", **where})
    )
    await eventually(lambda: _running(replica, user))
    data = ConversationDeleted(
        conversation_id=first["conversation_id"], user_id=user.id, deleted_at=times.now(), purge_after=times.now()
    )
    await publish(replica, "conversation.deleted", data, first["conversation_id"])
    assert (await asyncio.wait_for(running, 10))[-1].data["status"] == "cancelled"
    refused = await user.chat("more", **where)
    assert (refused.status_code, refused.json()["code"]) == (404, "conversation_not_found")
    await replica.wired.reconciler.reconcile()
    assert mark not in await everything_stored(replica)
    assert [row["sequence"] for row in await replica.outbox(first["conversation_id"])] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("column", ["system_prompt", "metadata", "entries"])
async def test_a_turn_without_texts_keeps_nothing_of_a_deleted_conversation(replica: ChatReplica, column: str) -> None:
    user, mark = replica.user(), f"{CANARY}-{new_id()}"
    turn = (await user.chat("[[fake tokens=1]]")).json()
    content = {"system_prompt": mark, "metadata": {"note": mark}, "entries": [{"reasoning": mark}]}[column]
    value = content if isinstance(content, str) else orjson.dumps(content).decode()
    # As after a message that is an image, whose answer failed or was cut off while it reasoned.
    query = f"UPDATE turns SET user_message = '', content = '', {column} = $1 WHERE conversation_id = $2"
    await replica.pool.execute(query, value, turn["conversation_id"])
    now = times.now()
    data = ConversationDeleted(
        conversation_id=turn["conversation_id"], user_id=user.id, deleted_at=now, purge_after=now
    )
    await publish(replica, "conversation.deleted", data, turn["conversation_id"])
    await eventually(lambda: _forgotten(replica, mark))


async def _forgotten(replica: ChatReplica, mark: str) -> bool:
    return mark not in await everything_stored(replica)


async def test_the_answers_of_a_deleted_conversation_leave_the_response_cache(
    open_replica: OpenReplica, new_database: NewDatabase, provider: FakeProvider
) -> None:
    mark = f"{CANARY}-{new_id()}"
    async with open_replica(await new_database(), enable_cache=True) as replica:
        user = replica.user()

        async def answered() -> Any:
            response = await user.chat(f"{mark} [[fake mode=echo]]")
            await eventually(lambda: not replica.wired.supervisor.running())
            return response.json()

        async def delete(conversation: str) -> None:
            now = times.now()
            data = ConversationDeleted(conversation_id=conversation, user_id=user.id, deleted_at=now, purge_after=now)
            await publish(replica, "conversation.deleted", data, conversation)

        first, again = await answered(), await answered()
        assert (first["cached"], again["cached"]) == (False, True)
        await delete(again["conversation_id"])
        assert (await answered())["cached"] is True
        await delete(first["conversation_id"])
        last = await answered()
        assert last["cached"] is False
        assert len(await provider.journal(contains=mark)) == 2
        await erase(replica, user)
        assert mark not in await everything_stored(replica)


async def test_a_conversation_deleted_before_its_first_turn_stays_deleted(replica: ChatReplica) -> None:
    user, conversation = replica.user(), new_id()
    data = ConversationDeleted(
        conversation_id=conversation, user_id=user.id, deleted_at=times.now(), purge_after=times.now()
    )
    await publish(replica, "conversation.deleted", data, conversation)
    assert (await user.chat("Hi", conversation_id=str(conversation))).status_code == 404


async def test_a_disabled_user_has_no_running_turns(replica: ChatReplica) -> None:
    user = replica.user()
    opened = await user.chat("Hi [[fake tokens=500 rate=20]]", headers={"Prefer": "respond-async"})
    data = UserChanged(
        user_id=user.id, status="disabled", plan="default", scopes=[], changed=["status"], at=times.now()
    )
    await publish(replica, "user.disabled", data, user.id)
    turn = await eventually(lambda: user.ended_turn(opened.json()["id"]))
    assert turn["status"] == "cancelled"


async def _running(replica: ChatReplica, user: ChatUser) -> Any:
    return await replica.pool.fetchval("SELECT count(*) FROM turns WHERE user_id = $1 AND status = 'running'", user.id)


async def _settled(replica: ChatReplica, user: ChatUser) -> bool:
    return not await _running(replica, user) and not replica.wired.supervisor.running()
