"""The Responses API on real stores: input and calls of earlier responses, and responses of killed replicas."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any
from uuid import UUID

import orjson
import pytest
from websockets.asyncio.client import connect

from chat_testing.process import SpawnChat
from chat_testing.replica import ChatReplica, NewDatabase, OpenReplica
from chat_testing.users import ChatUser, StreamEvent
from fake_provider.process import FakeProvider
from parley.ids import new_id
from parley.storage.postgres import open_pool
from parley_testing import eventually
from parley_testing.faults.processes import kill

pytestmark = pytest.mark.integration

RECOVERED_WITHIN = 25.0
TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object"}}


@pytest.fixture(scope="module")
async def survivor(open_replica: OpenReplica, new_database: NewDatabase) -> AsyncIterator[ChatReplica]:
    """A replica that lives on, and its database."""
    dsn = await new_database()
    async with open_replica(dsn) as replica, open_pool(dsn, size=4) as pool:
        replica.dsn, replica.pool = dsn, pool
        yield replica


async def created(user: ChatUser, **members: Any) -> Any:
    response = await user.request("POST", "/v1/responses", json={"model": "default", **members})
    assert response.status_code == 200, response.text
    return response.json()


async def retrieved(user: ChatUser, response_id: str) -> Any:
    response = await user.request("GET", f"/v1/responses/{response_id}")
    assert response.status_code == 200, response.text
    return response.json()


async def ended(user: ChatUser, response_id: str) -> Any:
    found = await retrieved(user, response_id)
    return found if found["status"] != "in_progress" else None


async def events_behind(user: ChatUser, response_id: str, number: int) -> list[StreamEvent]:
    return await user.streamed(f"/v1/responses/{response_id}?stream=true&starting_after={number}", method="GET")


async def first_events(user: ChatUser, response_id: str, count: int) -> list[Any]:
    found: list[Any] = []
    async with user.stream(f"/v1/responses/{response_id}?stream=true", method="GET") as (_, events):
        async for event in events:
            found.append(event.data)
            if len(found) == count:
                break
    return found


def text_of(events: list[Any]) -> str:
    return "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")


async def messages_sent(provider: FakeProvider, mark: str) -> Any:
    calls = await provider.journal(contains=mark)
    return calls[-1]["request"]["messages"]


async def test_a_later_response_sees_every_input_item_of_the_earlier_ones(
    survivor: ChatReplica, provider: FakeProvider
) -> None:
    user, mark = survivor.user(), str(new_id())
    given = [
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": "One"},
        {"role": "assistant", "content": "Two"},
        {"role": "user", "content": f"{mark} [[fake tokens=1]]"},
    ]
    first = await created(user, input=given, instructions="Only now.")
    await created(user, input="Four", previous_response_id=first["id"])
    assert await messages_sent(provider, mark) == [
        {"role": "system", "content": "Be kind."},
        *given[1:],
        {"role": "assistant", "content": "t1"},
        {"role": "user", "content": "Four"},
    ]
    page = await user.request("GET", f"/v1/responses/{first['id']}/input_items?order=asc&limit=3")
    assert [item["role"] for item in page.json()["data"]] == ["developer", "user", "assistant"]
    assert page.json()["has_more"]
    path = f"/v1/conversations/{first['conversation']['id']}/items?order=asc"
    items = (await user.request("GET", path)).json()["data"]
    assert [item["role"] for item in items] == [
        "developer",
        "user",
        "assistant",
        "user",
        "assistant",
        "user",
        "assistant",
    ]


async def test_the_provider_gets_each_call_with_its_output(survivor: ChatReplica, provider: FakeProvider) -> None:
    user, mark = survivor.user(), str(new_id())
    asked = await created(user, input=f"{mark} [[fake tool_calls=2]]", tools=[TOOL])
    calls = [item for item in asked["output"] if item["type"] == "function_call"]
    outputs = [{"type": "function_call_output", "call_id": call["call_id"], "output": "Sun"} for call in calls]
    one = {"model": "default", "input": outputs[:1], "previous_response_id": asked["id"]}
    refused = await user.request("POST", "/v1/responses", json=one)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "input")
    conversation = {
        "model": "default",
        "input": [{**outputs[0], "call_id": "other"}],
        "conversation": asked["conversation"],
    }
    refused = await user.request("POST", "/v1/responses", json=conversation)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "input")
    answer = await created(user, input=outputs, previous_response_id=asked["id"], tools=[TOOL])
    assert answer["status"] == "completed"
    sent = await messages_sent(provider, mark)
    assert [message["role"] for message in sent] == ["user", "assistant", "tool", "tool"]
    turn = await user.turn(str(UUID(answer["id"].removeprefix("resp_"))))
    assert turn["user_message"]["content"] == f"{mark} [[fake tool_calls=2]]"


async def test_a_response_of_a_turn_of_another_protocol_and_of_another_user(survivor: ChatReplica) -> None:
    user = survivor.user()
    turn = (await user.chat("Hi [[fake tokens=2]]")).json()
    response_id = f"resp_{turn['turn_id'].replace('-', '')}"
    found = await retrieved(user, response_id)
    assert found["output"][0]["content"][0]["text"] == turn["message"]
    assert (await survivor.user().request("GET", f"/v1/responses/{response_id}")).status_code == 404
    assert (await user.request("DELETE", f"/v1/responses/{response_id}")).json()["deleted"]
    assert (await user.request("GET", f"/v1/responses/{response_id}")).status_code == 404
    assert (await user.turn(turn["turn_id"]))["message"] == turn["message"]


@pytest.mark.chaos
async def test_a_background_response_of_a_killed_replica_goes_on_elsewhere_without_a_gap(
    survivor: ChatReplica, spawn: SpawnChat, provider: FakeProvider
) -> None:
    mark = str(new_id())
    async with spawn(survivor.dsn, survivor.pool) as victim:
        user = victim.user()
        made = await created(user, input=f"{mark} [[fake tokens=200 rate=20]]", background=True)
        seen = await first_events(user, made["id"], 12)
        await kill(victim.child)
    there = survivor.as_seen_by(user)
    rest = await events_behind(there, made["id"], seen[-1]["sequence_number"])
    whole = [*seen, *(event.data for event in rest)]
    assert [event["sequence_number"] for event in whole] == list(range(len(whole)))
    assert whole[-1]["type"] == "response.failed"
    assert whole[-1]["response"] == await retrieved(there, made["id"])
    assert text_of(whole) == whole[-1]["response"]["output"][0]["content"][0]["text"]
    assert [event.data for event in await events_behind(there, made["id"], 0)] == whole[1:]
    assert len(await provider.journal(contains=mark)) == 1


@pytest.mark.chaos
async def test_a_response_over_a_websocket_of_a_killed_replica_is_retrieved_elsewhere_without_a_gap(
    survivor: ChatReplica, spawn: SpawnChat, provider: FakeProvider
) -> None:
    mark, seen = str(new_id()), list[Any]()
    async with spawn(survivor.dsn, survivor.pool) as victim:
        user = victim.user()
        url, headers = victim.url.replace("http", "ws", 1) + "/v1/responses", {"Authorization": f"Bearer {user.token}"}
        async with connect(url, additional_headers=headers, proxy=None) as socket:
            body = {"model": "default", "input": f"{mark} [[fake tokens=200 rate=20]]"}
            await socket.send(orjson.dumps({"type": "response.create", **body}).decode())
            while len(seen) < 12:
                seen.append(orjson.loads(await socket.recv()))
            await kill(victim.child)
    there, response_id = survivor.as_seen_by(user), seen[0]["response"]["id"]
    rest = await events_behind(there, response_id, seen[-1]["sequence_number"])
    whole = [*seen, *(event.data for event in rest)]
    assert [event["sequence_number"] for event in whole] == list(range(len(whole)))
    assert whole[-1]["response"] == await retrieved(there, response_id)
    assert text_of(whole) == whole[-1]["response"]["output"][0]["content"][0]["text"]
    assert len(await provider.journal(contains=mark)) == 1


@pytest.mark.chaos
async def test_a_background_response_of_a_killed_replica_is_cancelled_elsewhere(
    survivor: ChatReplica, spawn: SpawnChat, provider: FakeProvider
) -> None:
    mark = str(new_id())
    async with spawn(survivor.dsn, survivor.pool) as victim:
        user = victim.user()
        made = await created(user, input=f"{mark} [[fake tokens=200 rate=20]]", background=True)
        seen = await first_events(user, made["id"], 12)
        await kill(victim.child)
    there = survivor.as_seen_by(user)
    assert (await there.request("POST", f"/v1/responses/{made['id']}/cancel")).status_code == 200
    rest = await events_behind(there, made["id"], seen[-1]["sequence_number"])
    found = await eventually(partial(ended, there, made["id"]), within=RECOVERED_WITHIN)
    assert (found["status"], rest[-1].data["response"]) == ("cancelled", found)
    assert text_of([*seen, *(event.data for event in rest)]) == found["output"][0]["content"][0]["text"]
    assert len(await provider.journal(contains=mark)) == 1
