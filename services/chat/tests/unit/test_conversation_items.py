"""Items that users put into conversations, on in-memory stores."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from chat.admission.plans import ChatPlan
from chat_testing.items_user import CALL, HELLO, OUTPUT, ItemsUser, open_items_user, said
from chat_testing.service_bench import ServiceBench
from chat_testing.stores import InMemoryRateLimiter
from parley.ids import new_id
from parley.ratelimit.model import Decision, Limit


@pytest.fixture
async def user(bench: ServiceBench) -> AsyncIterator[ItemsUser]:
    async with open_items_user(bench) as found:
        yield found


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


class BothAtOnce(InMemoryRateLimiter):
    """A limiter that answers when two requests have come so far."""

    def __init__(self) -> None:
        super().__init__()
        self.both = asyncio.Barrier(2)

    async def check(self, limits: Sequence[Limit], *, cost: int = 1) -> Decision:
        await self.both.wait()
        return await super().check(limits, cost=cost)


@contextlib.asynccontextmanager
async def limited_user(
    limiter: InMemoryRateLimiter | None = None,
) -> AsyncIterator[tuple[ItemsUser, InMemoryRateLimiter, str]]:
    """Open a user with a limit of tokens, and a conversation."""
    bench = ServiceBench(plan=ChatPlan(), limiter=limiter or InMemoryRateLimiter())
    async with open_items_user(bench) as user:
        yield user, bench.limiter, await user.conversation()


async def test_items_take_tokens_of_the_limit_by_their_size_once() -> None:
    async with limited_user() as (user, limiter, conversation):
        for _ in range(2):
            given = {**CALL, "arguments": "x" * 4_000}
            await user.insert(conversation, given, headers={"Idempotency-Key": "k"})
        (taken,) = limiter.taken
        assert 1_000 < taken < 1_100


async def test_concurrent_requests_with_one_key_take_their_tokens_once() -> None:
    async with limited_user(BothAtOnce()) as (user, limiter, conversation):
        key = {"Idempotency-Key": "k"}
        made = await asyncio.gather(*(user.insert(conversation, HELLO, headers=key) for _ in range(2)))
        assert made[0] == made[1]
        assert len(limiter.taken) == 3
        assert sum(limiter.taken) == limiter.taken[0]


async def test_items_beyond_the_limit_of_tokens_are_refused_and_not_stored() -> None:
    async with limited_user() as (user, limiter, conversation):
        limiter.retry_after = 3.0
        refused = await user.insert(conversation, HELLO, status=429)
        assert (refused["error"]["code"], "These items take" in refused["error"]["message"]) == ("rate_limited", True)
        assert await user.items(conversation) == []


async def test_items_that_are_not_stored_give_their_tokens_back() -> None:
    async with limited_user() as (user, limiter, _):
        await user.insert(f"conv_{new_id().hex}", HELLO, status=404)
        assert len(limiter.taken) == 2
        assert sum(limiter.taken) == 0


async def test_a_repeated_request_with_the_same_key_inserts_once(user: ItemsUser) -> None:
    conversation = await user.conversation()
    key: dict[str, Any] = {"headers": {"Idempotency-Key": "k"}}
    both = [await user.insert(conversation, HELLO, said("user", "Two"), **key) for _ in range(2)]
    assert both[0] == both[1]
    assert len(await user.items(conversation)) == 2
    refused = await user.insert(conversation, said("user", "Other"), status=422, **key)
    assert refused["error"]["code"] == "idempotency_key_reused"


async def test_a_repeated_creation_with_the_same_key_creates_one_conversation(user: ItemsUser) -> None:
    headers = {**user.headers, "Idempotency-Key": "k"}
    body = {"items": [HELLO, said("user", "Two")], "metadata": {"topic": "demo"}}
    both = [await user.http.post("/v1/conversations", headers=headers, json=body) for _ in range(2)]
    assert [response.status_code for response in both] == [200, 200], both[1].text
    assert both[0].json() == both[1].json()
    assert [response.headers.get("Idempotency-Replayed") for response in both] == [None, "true"]
    assert len(await user.items(both[0].json()["id"])) == 2
    refused = await user.send("POST", "conversations", 422, json={}, headers=headers)
    assert refused["error"]["code"] == "idempotency_key_reused"
    other = await user.send("POST", "conversations", json=body, headers={"Idempotency-Key": "other"})
    assert other["id"] != both[0].json()["id"]


async def test_a_creation_that_history_did_not_get_is_completed_by_its_repetition(
    bench: ServiceBench, user: ItemsUser
) -> None:
    request: dict[str, Any] = {"json": {"items": [HELLO]}, "headers": {"Idempotency-Key": "k"}}
    bench.history.unavailable = True
    await user.send("POST", "conversations", 503, **request)
    bench.history.unavailable = False
    made = await user.send("POST", "conversations", **request)
    assert len(await user.items(made["id"])) == 1
    assert await user.send("POST", "conversations", **request) == made
    assert len(bench.history.owners) == 1


async def test_no_conversation_is_created_for_an_erased_user(bench: ServiceBench, user: ItemsUser) -> None:
    await user.send("POST", "conversations", json={})
    (owner,) = bench.history.owners.values()
    bench.engine.turns.erased_users.add(owner.user_id)
    for headers in ({}, {"Idempotency-Key": "k"}):
        refused = await user.send("POST", "conversations", 410, json={}, headers=headers)
        assert refused["error"]["code"] == "erased"


@pytest.mark.parametrize(
    ("items", "param"),
    [
        ([], "items"),
        ([HELLO] * 21, "items"),
        ([{"type": "web_search_call"}], "items.0.type"),
        ([{"type": "item_reference", "id": "msg_1"}], "items.0.type"),
        ([HELLO, {"type": "function_call", "name": "weather"}], "items.1.call_id"),
        ([said("user", " ")], "items.0.content"),
        ([{"type": "compaction", "encrypted_content": "cmp_1"}], "items.0.type"),
        ([{**CALL, "name": ""}], "items.0.name"),
        ([{**OUTPUT, "call_id": ""}], "items.0.call_id"),
        ([{"role": "user", "content": [{"type": "input_image", "image_url": "data:"}]}], "items.0.content.0.type"),
        ([{**HELLO, "mood": "good"}], "items.0.mood"),
        (
            [{**HELLO, "content": [{"type": "input_text", "text": "a", "image_url": "b"}]}],
            "items.0.content.0.image_url",
        ),
    ],
)
async def test_a_wrong_item_is_refused_by_its_name(user: ItemsUser, items: list[Any], param: str) -> None:
    conversation = await user.conversation()
    refused = await user.insert(conversation, *items, status=400)
    assert (refused["error"]["type"], refused["error"]["param"]) == ("invalid_request_error", param)
    assert await user.items(conversation) == []


@pytest.mark.parametrize("path", ["conversations", "conversations/{}/items"])
async def test_a_parameter_that_is_not_supported_is_named_as_it_is(user: ItemsUser, path: str) -> None:
    body = {"items": [HELLO], "a/b": 1}
    refused = await user.send("POST", path.format(await user.conversation()), 400, json=body)
    assert (refused["error"]["param"], refused["error"]["code"]) == ("a/b", "invalid_request")


async def test_items_and_responses_without_what_is_to_be_included_are_refused(user: ItemsUser) -> None:
    conversation = await user.conversation(HELLO)
    made = await user.send("POST", "responses", json={"model": "default", "input": "Hi"})
    items = f"conversations/{conversation}/items"
    (item,) = await user.items(conversation)
    for path in (items, f"{items}/{item['id']}", f"responses/{made['id']}", f"responses/{made['id']}/input_items"):
        for name in ("include", "include[]"):
            refused = await user.send("GET", f"{path}?{name}=web_search_call.action.sources", 400)
            assert refused["error"]["param"] == "include"
            await user.send("GET", f"{path}?{name}=message.output_text.logprobs")


async def test_obfuscation_of_a_response_that_is_read_again_is_refused_as_in_a_request(user: ItemsUser) -> None:
    made = await user.send("POST", "responses", json={"model": "default", "input": "Hi"})
    for path in (f"responses/{made['id']}?", f"responses/{made['id']}?stream=true&"):
        refused = await user.send("GET", f"{path}include_obfuscation=true", 400)
        assert refused["error"]["param"] == "include_obfuscation"
    await user.send("GET", f"responses/{made['id']}?include_obfuscation=false")


async def test_a_model_is_sent_each_call_once_although_two_with_one_id_were_inserted(user: ItemsUser) -> None:
    conversation = await user.conversation(said("user", "Weather?"), CALL, CALL, OUTPUT, {**OUTPUT, "output": "Rain"})
    sent = await user.ask(conversation)
    assert [message["role"] for message in sent] == ["user", "assistant", "tool", "user"]
    assert [call["id"] for call in sent[1]["tool_calls"]] == ["c1"]


async def test_nothing_is_inserted_while_a_turn_runs(bench: ServiceBench, user: ItemsUser) -> None:
    bench.engine.generator.endless = True
    body = {"model": "default", "input": "Hi", "background": True}
    running = await user.send("POST", "responses", json=body)
    refused = await user.insert(running["conversation"]["id"], HELLO, status=409)
    assert refused["error"]["code"] == "turn_in_progress"
    await user.send("POST", f"responses/{running['id']}/cancel")


async def test_items_of_others_do_not_exist(bench: ServiceBench, user: ItemsUser) -> None:
    conversation = await user.conversation(HELLO)
    (item,) = await user.items(conversation)
    other = ItemsUser(user.http, bench)
    own = await other.conversation()
    for found in (conversation, f"conv_{new_id().hex}", "none"):
        assert (await other.insert(found, HELLO, status=404))["error"]["code"] == "conversation_not_found"
        assert (await other.delete(found, item["id"], 404))["error"]["code"] == "conversation_not_found"
    for unknown in (item["id"], f"msg_{new_id().hex}_i0", "msg_none", f"resp_{new_id().hex}"):
        assert (await other.delete(own, unknown, 404))["error"]["code"] == "message_not_found"
    assert await user.items(conversation) == [item]
