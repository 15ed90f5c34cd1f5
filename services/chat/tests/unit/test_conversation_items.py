"""Items that users put into conversations and delete from them, on in-memory stores."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import orjson
import pytest

from chat.generation import AnswerChunk
from chat.model import LogEntry
from chat_testing.api import open_api
from chat_testing.generator import answer_of
from chat_testing.service_bench import ServiceBench
from parley.ids import new_id
from parley_testing.security.token_issuer import TestIssuer

ISSUER = TestIssuer()
HELLO = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello!"}]}
CALL = {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "Sun"}


class ItemsUser:
    """A user of conversations and responses."""

    def __init__(self, http: httpx2.AsyncClient, bench: ServiceBench) -> None:
        self._http, self._bench = http, bench
        self.headers = {"Authorization": f"Bearer {ISSUER.token(new_id())}"}

    async def send(self, method: str, path: str, status: int = 200, **options: Any) -> Any:
        headers = {**self.headers, **options.pop("headers", {})}
        response = await self._http.request(method, f"/v1/{path}", headers=headers, **options)
        assert response.status_code == status, response.text
        return orjson.loads(response.content)

    async def conversation(self, *items: Any) -> str:
        made = await self.send("POST", "conversations", json={"items": list(items)})
        return str(made["id"])

    async def insert(self, conversation: str, *items: Any, status: int = 200, **options: Any) -> Any:
        path = f"conversations/{conversation}/items"
        return await self.send("POST", path, status, json={"items": list(items)}, **options)

    async def items(self, conversation: str) -> list[Any]:
        listed = await self.send("GET", f"conversations/{conversation}/items?order=asc&limit=100")
        found: list[Any] = listed["data"]
        return found

    async def delete(self, conversation: str, item: str, status: int = 200) -> Any:
        return await self.send("DELETE", f"conversations/{conversation}/items/{item}", status)

    async def ask(self, conversation: str, text: str = "And now?") -> list[dict[str, Any]]:
        """Create a response, and return the messages that its model was sent."""
        await self.send("POST", "responses", json={"model": "default", "input": text, "conversation": conversation})
        return [dict(message) for message in self._bench.engine.generator.prompts[-1].messages]


@pytest.fixture
def bench() -> ServiceBench:
    found = ServiceBench()
    found.engine.generator.chunks = answer_of("Hel", "lo")
    return found


@pytest.fixture
async def http(bench: ServiceBench) -> AsyncIterator[httpx2.AsyncClient]:
    async with open_api(bench, ISSUER) as found:
        yield found


@pytest.fixture
def user(http: httpx2.AsyncClient, bench: ServiceBench) -> ItemsUser:
    return ItemsUser(http, bench)


def said(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


async def test_inserted_items_are_listed_in_their_order_and_are_context(bench: ServiceBench, user: ItemsUser) -> None:
    conversation = await user.conversation(said("user", "One"))
    given = [HELLO, said("user", "Two"), said("assistant", "Yes?"), CALL, OUTPUT, said("developer", "Be brief")]
    made = await user.insert(conversation, *given)
    assert (made["object"], made["has_more"], made["first_id"]) == ("list", False, made["data"][0]["id"])
    listed = await user.items(conversation)
    assert listed[1:] == made["data"]
    assert [item["type"] for item in listed] == [*["message"] * 4, "function_call", "function_call_output", "message"]
    assert await user.send("GET", f"conversations/{conversation}/items/{listed[4]['id']}") == listed[4]
    sent = await user.ask(conversation)
    assert [message["role"] for message in sent] == [
        *("user", "user", "user", "assistant", "tool", "developer", "user")
    ]
    assert (sent[1]["content"], sent[3]["tool_calls"][0]["id"], sent[4]["tool_call_id"]) == ("Hello!", "c1", "c1")


async def test_an_inserted_turn_has_no_usage_and_is_no_response(bench: ServiceBench, user: ItemsUser) -> None:
    conversation = await user.conversation(HELLO)
    (turn,) = bench.engine.turns.turns.values()
    assert (turn.status, turn.finish_reason, turn.usage, turn.cost) == ("completed", "inserted", None, None)
    assert bench.engine.turns.event_names == ["conversation.turn.completed"]
    await user.send("GET", f"responses/resp_{turn.id.hex}", 404)
    assert (await user.items(conversation))[0]["id"] == f"msg_{turn.id.hex}_i0"


async def test_a_repeated_request_with_the_same_key_inserts_once(user: ItemsUser) -> None:
    conversation = await user.conversation()
    key: dict[str, Any] = {"headers": {"Idempotency-Key": "k"}}
    both = [await user.insert(conversation, HELLO, said("user", "Two"), **key) for _ in range(2)]
    assert both[0] == both[1]
    assert len(await user.items(conversation)) == 2
    refused = await user.insert(conversation, said("user", "Other"), status=422, **key)
    assert refused["error"]["code"] == "idempotency_key_reused"


@pytest.mark.parametrize(
    ("items", "param"),
    [
        ([], "items"),
        ([HELLO] * 21, "items"),
        ([{"type": "web_search_call"}], "items.0.type"),
        ([{"type": "item_reference", "id": "msg_1"}], "items.0.type"),
        ([HELLO, {"type": "function_call", "name": "weather"}], "items.1.call_id"),
        ([said("user", " ")], "items.0.content"),
        ([{"role": "user", "content": [{"type": "input_image", "image_url": "data:"}]}], "items.0.content.0.type"),
        ([{**HELLO, "mood": "good"}], "items.0.mood"),
    ],
)
async def test_a_wrong_item_is_refused_by_its_name(user: ItemsUser, items: list[Any], param: str) -> None:
    conversation = await user.conversation()
    refused = await user.insert(conversation, *items, status=400)
    assert (refused["error"]["type"], refused["error"]["param"]) == ("invalid_request_error", param)
    assert await user.items(conversation) == []


async def test_nothing_is_inserted_while_a_turn_runs(bench: ServiceBench, user: ItemsUser) -> None:
    bench.engine.generator.endless = True
    body = {"model": "default", "input": "Hi", "background": True}
    running = await user.send("POST", "responses", json=body)
    refused = await user.insert(running["conversation"]["id"], HELLO, status=409)
    assert refused["error"]["code"] == "turn_in_progress"
    await user.send("POST", f"responses/{running['id']}/cancel")


async def test_a_deleted_item_is_neither_listed_nor_context_and_the_others_keep_their_ids(user: ItemsUser) -> None:
    conversation = await user.conversation(said("user", "Secret"), said("assistant", "Noted"), HELLO)
    await user.ask(conversation)
    before = await user.items(conversation)
    left = await user.delete(conversation, before[0]["id"])
    assert (left["id"], left["object"]) == (conversation, "conversation")
    assert await user.items(conversation) == before[1:]
    await user.delete(conversation, before[4]["id"])
    sent = await user.ask(conversation)
    assert [message["content"] for message in sent] == ["Noted", "Hello!", "And now?", "And now?"]
    for gone in (before[0], before[4]):
        await user.delete(conversation, gone["id"], 404)
        await user.send("GET", f"conversations/{conversation}/items/{gone['id']}", 404)


async def test_what_is_deleted_leaves_every_column_of_the_turn(bench: ServiceBench, user: ItemsUser) -> None:
    made = await user.send("POST", "responses", json={"model": "default", "input": "Secret"})
    conversation = made["conversation"]["id"]
    (turn,) = bench.engine.turns.turns.values()
    for item in await user.items(conversation):
        await user.delete(conversation, item["id"])
    left = bench.engine.turns.turns[turn.id]
    assert "Secret" not in repr(left)
    assert "Hel" not in repr(left)
    assert len(left.entries) == len(turn.entries)
    assert (await user.send("GET", f"responses/{made['id']}"))["output"] == []
    assert bench.engine.turns.event_names[-2:] == ["conversation.turn.redacted"] * 2


@pytest.mark.parametrize("gone", [1, 2])
async def test_neither_half_of_a_deleted_call_reaches_a_provider(user: ItemsUser, gone: int) -> None:
    conversation = await user.conversation(said("user", "Weather?"), CALL, OUTPUT, said("assistant", "Sun."))
    items = await user.items(conversation)
    await user.delete(conversation, items[gone]["id"])
    sent = await user.ask(conversation)
    assert [message["role"] for message in sent] == ["user", "assistant", "user"]
    assert all("tool_calls" not in message for message in sent)


async def test_the_calls_beside_a_deleted_one_keep_their_ids(bench: ServiceBench, user: ItemsUser) -> None:
    calls = tuple(
        {"index": index, "id": f"c{index}", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
        for index in range(3)
    )
    bench.engine.generator.chunks = [AnswerChunk(LogEntry("", calls)), AnswerChunk(finish_reason="tool_calls")]
    made = await user.send("POST", "responses", json={"model": "default", "input": "Weather?"})
    conversation = made["conversation"]["id"]
    ids = [item["id"] for item in made["output"]]
    await user.delete(conversation, ids[0])
    await user.delete(conversation, ids[0], 404)
    assert [item["id"] for item in await user.items(conversation)][1:] == ids[1:]
    assert [item["id"] for item in (await user.send("GET", f"responses/{made['id']}"))["output"]] == ids[1:]
    await user.delete(conversation, ids[1])
    await user.delete(conversation, ids[2])
    assert len(await user.items(conversation)) == 1


async def test_an_item_is_deleted_from_the_regenerations_that_share_it(bench: ServiceBench, user: ItemsUser) -> None:
    conversation = await user.conversation(said("user", "Secret"))
    (turn,) = bench.engine.turns.turns.values()
    again = {"regenerate": str(turn.id), "conversation_id": str(turn.conversation_id)}
    response = await user._http.post("/api/v1/chat", json=again, headers=user.headers)
    assert response.status_code == 200, response.text
    await user.delete(conversation, f"msg_{turn.id.hex}_i0")
    assert "Secret" not in repr(bench.engine.turns.turns)


async def test_items_of_others_do_not_exist(http: httpx2.AsyncClient, bench: ServiceBench, user: ItemsUser) -> None:
    conversation = await user.conversation(HELLO)
    (item,) = await user.items(conversation)
    other = ItemsUser(http, bench)
    own = await other.conversation()
    for found in (conversation, f"conv_{new_id().hex}", "none"):
        assert (await other.insert(found, HELLO, status=404))["error"]["code"] == "conversation_not_found"
        assert (await other.delete(found, item["id"], 404))["error"]["code"] == "conversation_not_found"
    for unknown in (item["id"], f"msg_{new_id().hex}_i0", "msg_none", f"resp_{new_id().hex}"):
        assert (await other.delete(own, unknown, 404))["error"]["code"] == "message_not_found"
    assert await user.items(conversation) == [item]
